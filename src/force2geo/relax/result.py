"""Relaxed molecules and their paths in one HDF5 file, which says itself what is in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from force2geo.files import reading
from force2geo.relax.relaxation import Relaxation

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

# The file's attribute `layout`; each dataset with a unit has it as its attribute `units`.
LAYOUT = """\
M molecules with N atoms and F frames in all; molecule i is row i.
Once a molecule: cid (M,) and name (M,); status (M,): converged, unsure, step limit, bonds changed,
dissociated, exploded or refused; reason (M,); converged (M,): forces below the threshold, still
the molecule it was, and not unsure; stationary (M,): forces below the threshold; steps (M,); charge
(M,) and multiplicity (M,); energy (M,) and max_force (M,) of the last frame, the longest force on
an atom; force_spread (M,) there, by how much several potentials differ in the force on an atom;
seconds (M,), its share of the wall time of the relaxation, by atoms.
Its atoms are rows ptr[i]:ptr[i+1] of atomic_numbers (N,) and of positions (N,3), which are relaxed.
Its frames, the start first, are rows frame_ptr[i]:frame_ptr[i+1] of frame_energy (F,) and
frame_max_force (F,), and, one after the other, rows frame_offset[i]:frame_offset[i+1] of
frame_positions and frame_forces, reshaped to (frames, atoms, 3). Of a relaxation kept without its
path the frames are the first and the last. Forces on fixed coordinates are zero. NaN: none known.
"""
_UNITS = {
    "energy": "eV", "max_force": "eV/angstrom", "force_spread": "eV/angstrom",
    "positions": "angstrom", "frame_positions": "angstrom", "frame_forces": "eV/angstrom",
    "frame_energy": "eV",
    "frame_max_force": "eV/angstrom", "charge": "e", "seconds": "s",
}  # fmt: skip

# What there is once a molecule, names as wide as the longest; once a frame; and once a frame and
# atom.
_COLUMNS: dict[str, Any] = {
    "cid": "S", "energy": float, "max_force": float, "steps": int, "status": "S16",
    "reason": "S160", "converged": bool, "stationary": bool, "charge": int, "multiplicity": int,
    "force_spread": float,
    "seconds": float,
}  # fmt: skip
_PATHS: dict[str, tuple[int, ...]] = {
    "frame_positions": (3,), "frame_forces": (3,), "frame_energy": (), "frame_max_force": (),
}  # fmt: skip
_NEEDED = (
    "cid", "energy", "max_force", "steps", "status", "atomic_numbers", "ptr", "frame_ptr",
    "frame_offset",
)  # fmt: skip
# Rows of a path's dataset that lie together on disk. Packed by gzip they would be a seventh smaller
# and slower to write.
_CHUNK = 4096
_WAITING = 20_000  # frames in memory before they are written: 30 MB with 30 atoms


@dataclass
class Relaxed:
    """A relaxation file in memory; molecule i's path is `frames[i]` and `forces[i]` (T,n,3).

    `charge` (M,) in e and `multiplicity` (M,); without them all are neutral singlets. `seconds`
    (M,) of wall time, NaN of files from before they were kept.
    """

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
    charge: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=int))
    multiplicity: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=int))
    seconds: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def __post_init__(self) -> None:
        if not len(self.charge):
            self.charge = np.zeros(len(self.cids), dtype=int)
        if not len(self.multiplicity):
            self.multiplicity = np.ones(len(self.cids), dtype=int)
        if not len(self.seconds):
            self.seconds = np.full(len(self.cids), np.nan)


def write_relaxed(
    path: Path,
    cids: Iterable[str],
    runs: Iterable[Relaxation],
    names: Sequence[str] | None = None,
) -> None:
    """Write relaxations as they come, few in memory at a time; see `LAYOUT`.

    A molecule's name is its CID where `names` (M,) are not given.
    """
    columns: dict[str, list[Any]] = {name: [] for name in _COLUMNS}
    numbers: list[np.ndarray] = []
    positions: list[np.ndarray] = []
    counts, frames = [], []
    with h5py.File(path, "w") as file:
        paths = {
            name: file.create_dataset(
                name, (0, *rest), float, maxshape=(None, *rest), chunks=(_CHUNK, *rest)
            )
            for name, rest in _PATHS.items()
        }
        waiting: dict[str, list[Any]] = {name: [] for name in _PATHS}
        for cid, run in zip(cids, runs, strict=True):
            columns["cid"].append(cid)
            columns["energy"].append(run.energies[-1])
            columns["max_force"].append(run.max_forces[-1])
            columns["steps"].append(run.steps)
            columns["status"].append(run.status)
            columns["reason"].append(run.reason.encode()[:160])
            columns["converged"].append(run.converged)
            columns["stationary"].append(run.stationary)
            columns["charge"].append(run.charge)
            columns["multiplicity"].append(run.multiplicity)
            columns["force_spread"].append(run.force_spread)
            columns["seconds"].append(run.seconds)
            numbers.append(run.atomic_numbers)
            positions.append(run.frames[-1].copy())
            counts.append(len(run.atomic_numbers))
            frames.append(len(run.frames))
            waiting["frame_positions"] += run.frames
            waiting["frame_forces"] += run.forces
            waiting["frame_energy"].append(run.energies)
            waiting["frame_max_force"].append(run.max_forces)
            if len(waiting["frame_forces"]) > _WAITING:
                _append(paths, waiting)
        _append(paths, waiting)
        for name, kind in _COLUMNS.items():
            file[name] = np.array(columns[name], dtype=kind)
        file.create_dataset("name", data=columns["cid"] if names is None else list(names),
                            dtype=h5py.string_dtype())  # fmt: skip
        file["atomic_numbers"] = np.concatenate([np.zeros(0, int), *numbers])
        file["positions"] = np.concatenate([np.zeros((0, 3)), *positions])
        atoms, steps = np.array(counts, dtype=int), np.array(frames, dtype=int)
        for name, lengths in (
            ("ptr", atoms),
            ("frame_ptr", steps),
            ("frame_offset", steps * atoms),
        ):
            file[name] = np.concatenate([[0], lengths.cumsum()])
        file.attrs["layout"] = LAYOUT
        for name, unit in _UNITS.items():
            file[name].attrs["units"] = unit


def _append(datasets: dict[str, h5py.Dataset], waiting: dict[str, list[Any]]) -> None:
    """Write pieces behind what is there and drop them."""
    for name, dataset in datasets.items():
        if not waiting[name]:
            continue
        piece, there = np.concatenate(waiting[name]), len(dataset)
        dataset.resize(there + len(piece), axis=0)
        dataset[there:] = piece
        waiting[name].clear()


def read_runs(path: Path, rows: Iterable[int] | None = None) -> Iterator[Relaxation]:
    """Read relaxations, those of some rows or all, one after the other."""
    with h5py.File(path, "r") as file:
        heads = {name: file[name][:] for name in (*_COLUMNS, "atomic_numbers") if name in file}
        molecules = len(heads["cid"])
        # Of files from before there were these.
        heads.setdefault("charge", np.zeros(molecules, dtype=int))
        heads.setdefault("multiplicity", np.ones(molecules, dtype=int))
        heads.setdefault("stationary", heads["converged"])
        heads.setdefault("force_spread", np.full(molecules, np.nan))
        heads.setdefault("seconds", np.full(molecules, np.nan))
        paths = {name: file[name] for name in _PATHS}
        ptr, frame_ptr, offset = (file[n][:] for n in ("ptr", "frame_ptr", "frame_offset"))
        for row in range(molecules) if rows is None else rows:
            atoms, frames = slice(*ptr[row : row + 2]), slice(*frame_ptr[row : row + 2])
            shape = (-1, atoms.stop - atoms.start, 3)
            own = slice(*offset[row : row + 2])
            places = list(paths["frame_positions"][own].reshape(shape))
            pulls = list(paths["frame_forces"][own].reshape(shape))
            yield Relaxation(
                atomic_numbers=heads["atomic_numbers"][atoms],
                positions=places[0],
                status=heads["status"][row].decode(),
                reason=heads["reason"][row].decode(errors="ignore"),
                converged=bool(heads["converged"][row]),
                steps=int(heads["steps"][row]),
                frames=places,
                forces=pulls,
                energies=paths["frame_energy"][frames].tolist(),
                max_forces=paths["frame_max_force"][frames].tolist(),
                charge=int(heads["charge"][row]),
                multiplicity=int(heads["multiplicity"][row]),
                stationary=bool(heads["stationary"][row]),
                force_spread=float(heads["force_spread"][row]),
                seconds=float(heads["seconds"][row]),
            )


def read_relaxed(path: Path) -> Relaxed:
    """Read a relaxation file whole; `UserError` where it is none."""
    with reading(path, "relaxations, HDF5"), h5py.File(path, "r") as file:
        data = {name: file[name][:] for name in file}
        absent = sorted({*_NEEDED, *_PATHS} - set(data))
        if absent:
            raise ValueError(f"it has no {', '.join(absent)}")
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
        **{name: data[name] for name in ("charge", "multiplicity", "seconds") if name in data},
    )
