"""Relaxed molecules and their paths in one HDF5 file.

Datasets, M molecules with N atoms and F frames in all: `cid` (M,), `ptr` (M+1,),
`atomic_numbers` (N,), `positions` (N,3) Å relaxed, `energy` (M,) eV, `max_force` (M,) eV/Å,
`steps` (M,), `status` (M,), `reason` (M,), `converged` (M,); paths: `frame_ptr` (M+1,) where a
molecule's frames start, `frame_offset` (M+1,) where its frames' atoms start in `frame_positions`
(·,3) Å and `frame_forces` (·,3) eV/Å, `frame_energy` (F,) eV, `frame_max_force` (F,) eV/Å.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import h5py
import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from force2geo.relax.relaxation import Relaxation


@dataclass
class Relaxed:
    """A relaxation file in memory; molecule i's path is `frames[i]` and `forces[i]` (T,n,3)."""

    cids: list[str]
    atomic_numbers: list[np.ndarray]
    energy: np.ndarray
    max_force: np.ndarray
    steps: np.ndarray
    status: list[str]
    frames: list[np.ndarray]
    forces: list[np.ndarray]
    frame_energy: list[np.ndarray]
    frame_max_force: list[np.ndarray]


def write_relaxed(path: Path, cids: list[str], runs: list[Relaxation]) -> None:
    """Write finished relaxations."""
    counts = np.array([len(run.atomic_numbers) for run in runs])
    frames = np.array([len(run.frames) for run in runs])
    with h5py.File(path, "w") as file:
        file["cid"] = np.array(cids, dtype="S9")
        file["ptr"] = np.concatenate([[0], counts.cumsum()])
        file["atomic_numbers"] = np.concatenate([run.atomic_numbers for run in runs])
        file["positions"] = np.concatenate([run.frames[-1] for run in runs])
        file["energy"] = np.array([run.energies[-1] for run in runs])
        file["max_force"] = np.array([run.max_forces[-1] for run in runs])
        file["steps"] = np.array([run.steps for run in runs])
        file["status"] = np.array([run.status for run in runs], dtype="S16")
        file["reason"] = np.array([run.reason.encode() for run in runs], dtype="S80")
        file["converged"] = np.array([run.converged for run in runs])
        file["frame_ptr"] = np.concatenate([[0], frames.cumsum()])
        file["frame_offset"] = np.concatenate([[0], (frames * counts).cumsum()])
        for name, values in (
            ("frame_positions", [frame for run in runs for frame in run.frames]),
            ("frame_forces", [forces for run in runs for forces in run.forces]),
        ):
            data = np.concatenate(values)
            file.create_dataset(name, data=data, compression="gzip", shuffle=True)
        file["frame_energy"] = np.concatenate([run.energies for run in runs])
        file["frame_max_force"] = np.concatenate([run.max_forces for run in runs])


def read_relaxed(path: Path) -> Relaxed:
    """Read a relaxation file whole."""
    with h5py.File(path, "r") as file:
        data = {name: file[name][:] for name in file}
    ptr, frame_ptr, offset = data["ptr"], data["frame_ptr"], data["frame_offset"]
    molecules = range(len(data["cid"]))

    def paths(name: str) -> list[np.ndarray]:
        pieces = [data[name][offset[i] : offset[i + 1]] for i in molecules]
        return [piece.reshape(-1, ptr[i + 1] - ptr[i], 3) for i, piece in enumerate(pieces)]

    return Relaxed(
        cids=[cid.decode() for cid in data["cid"]],
        atomic_numbers=[data["atomic_numbers"][ptr[i] : ptr[i + 1]] for i in molecules],
        energy=data["energy"],
        max_force=data["max_force"],
        steps=data["steps"],
        status=[status.decode() for status in data["status"]],
        frames=paths("frame_positions"),
        forces=paths("frame_forces"),
        frame_energy=[data["frame_energy"][frame_ptr[i] : frame_ptr[i + 1]] for i in molecules],
        frame_max_force=[
            data["frame_max_force"][frame_ptr[i] : frame_ptr[i + 1]] for i in molecules
        ],
    )
