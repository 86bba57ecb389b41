"""Minima of molecules that DFT found from several starts: a file a molecule, and one of all.

The file of all is HDF5, M molecules with N atoms in all: `cid`, `smiles`, `inchi` (M,), `charge`
and `multiplicity` (M,), `ptr` (M+1,), `atomic_numbers` (N,). For each start, by its name: `start`
(N,3) Å where its relaxation began, `position` (N,3) Å where DFT came to, `energy` (M,) eV,
`max_force` (M,) eV/Å, `gradients` (M,), `lowest_curvature` (M,) eV/Å² and `status` (M,), which is
`minimum` or says what it is instead; `checked_energy` (M,) eV is geomeTRIC's from the same place,
`checked` (M,) how that ended. NaN and empty texts: not known. `about` is JSON: level, potential and
thresholds.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from force2geo.files import atomic_path, reading

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_NUMBERS = ("energy", "max_force", "gradients", "lowest_curvature")


@dataclass
class Minimum:
    """Where a molecule of n atoms came to from one start.

    `numbers` (n,) are its elements; `start_positions` (n,3) Å are where its relaxation began,
    `relaxed` where DFT did, `positions` where that came to; `energy` eV, `max_force` eV/Å,
    `lowest_curvature` eV/Å², `seconds` of the Hessian and of DFT.
    """

    cid: str
    smiles: str
    inchi: str
    charge: int
    multiplicity: int
    start: str
    numbers: np.ndarray
    start_positions: np.ndarray
    relaxed: np.ndarray
    positions: np.ndarray
    energy: float
    max_force: float
    gradients: int
    lowest_curvature: float
    status: str
    reason: str
    seconds: float

    def write(self, path: Path) -> None:
        """Write it, whole or not at all."""
        values: dict[str, Any] = {
            one.name: np.array(getattr(self, one.name)) for one in fields(self)
        }
        with atomic_path(path) as part, part.open("wb") as handle:
            np.savez_compressed(handle, **values)


def read_minimum(path: Path) -> Minimum:
    """Return what a file of `Minimum.write` holds; `UserError` where it is none."""
    with reading(path, "a minimum, .npz"), np.load(path, allow_pickle=False) as data:
        values = {one.name: data[one.name] for one in fields(Minimum)}
    plain = {name: one.item() if one.ndim == 0 else one for name, one in values.items()}
    return Minimum(**plain)


@dataclass
class Check:
    """What geomeTRIC came to from where DFT began: `energy` eV after so many gradients."""

    cid: str
    status: str
    energy: float = float("nan")
    gradients: int = 0
    seconds: float = 0.0


def write_minima(
    path: Path, minima: Sequence[Minimum], checks: Sequence[Check], about: dict[str, Any]
) -> None:
    """Write minima of all starts as one file; see the module. The first start is the checked one.

    Molecules stand in the order in which they come first.
    """
    molecules = {one.cid: one for one in reversed(minima)}
    cids = list(dict.fromkeys(one.cid for one in minima))
    known = [molecules[cid] for cid in cids]
    sizes = [len(one.numbers) for one in known]
    starts = list(dict.fromkeys(one.start for one in minima))
    checked = {one.cid: one for one in checks}
    text = h5py.string_dtype()
    with atomic_path(path) as part, h5py.File(part, "w") as file:
        for name in ("cid", "smiles", "inchi"):
            file.create_dataset(name, data=[getattr(one, name) for one in known], dtype=text)
        for name in ("charge", "multiplicity"):
            file[name] = np.array([getattr(one, name) for one in known])
        file["ptr"] = np.concatenate([[0], np.cumsum(sizes)])
        file["atomic_numbers"] = np.concatenate([one.numbers for one in known]).astype(np.uint8)
        for start in starts:
            own = {one.cid: one for one in minima if one.start == start}
            for name, column in (("start", "start_positions"), ("position", "positions")):
                parts = [
                    getattr(own[cid], column) if cid in own else np.full((size, 3), np.nan)
                    for cid, size in zip(cids, sizes, strict=True)
                ]
                _put(file, f"{start}/{name}", np.concatenate(parts))
            for name in _NUMBERS:
                values = [getattr(own[cid], name) if cid in own else np.nan for cid in cids]
                file[f"{start}/{name}"] = np.array(values, dtype=float)
            status = [own[cid].status if cid in own else "" for cid in cids]
            file.create_dataset(f"{start}/status", data=status, dtype=text)
        energies = [checked[cid].energy if cid in checked else np.nan for cid in cids]
        file[f"{starts[0]}/checked_energy"] = np.array(energies)
        told = [checked[cid].status if cid in checked else "" for cid in cids]
        file.create_dataset(f"{starts[0]}/checked", data=told, dtype=text)
        file.attrs["layout"] = __doc__
        file.attrs["about"] = json.dumps(about)


def _put(file: h5py.File, name: str, values: np.ndarray) -> None:
    """Write positions; to a millionth of an Å, which moves no energy, they pack well."""
    file.create_dataset(name, data=np.round(values, 6), compression="gzip", shuffle=True)


@dataclass
class Minima:
    """A file of `write_minima`: its columns, those of starts as `rdkit/energy`, and `starts`."""

    columns: dict[str, np.ndarray]
    starts: list[str]
    about: dict[str, Any]

    def texts(self, name: str) -> list[str]:
        """Return a column of texts."""
        return [value.decode() for value in self.columns[name]]

    def lowest(self) -> np.ndarray:
        """Return which start (M,) came to the lower minimum, by its place; −1 where none did."""
        found = np.array([
            np.where(self.columns[f"{start}/status"] == b"minimum",
                     self.columns[f"{start}/energy"], np.inf)
            for start in self.starts
        ])  # fmt: skip
        return np.where(np.isfinite(found).any(axis=0), found.argmin(axis=0), -1)


def read_minima(path: Path) -> Minima:
    """Return a file of `write_minima`; `UserError` where it is none."""
    with reading(path, "minima of molecules, HDF5"), h5py.File(path, "r") as file:
        columns: dict[str, np.ndarray] = {}
        starts = [name for name, one in file.items() if isinstance(one, h5py.Group)]
        for name, one in file.items():
            if name not in starts:
                columns[name] = one[:]
        for start in starts:
            columns |= {f"{start}/{name}": one[:] for name, one in file[start].items()}
        # The one that was checked is the first.
        starts.sort(key=lambda start: f"{start}/checked" not in columns)
        return Minima(columns, starts, json.loads(file.attrs["about"]))
