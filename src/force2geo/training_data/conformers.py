"""The downstream set: each molecule's targets and its geometries of different quality.

HDF5 datasets, M molecules with N atoms in all: `cid` (M,), `ptr` (M+1,), `atomic_numbers` (N,),
`charge` (M,) e, `multiplicity` (M,), `target/<name>` (M,) with the attribute `unit` (NaN where a
molecule has none; files of before had `gap`, eV, alone), `geometry/<name>` (N,3) Å in one atom
order (NaN where there is none): `dft` the relaxed reference, `hf` the first DFT snapshot (what PM3
and HF relaxation gave), `rdkit` a conformer embedded from the SMILES.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import h5py
import numpy as np

from force2geo.errors import UserError
from force2geo.files import reading

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

GEOMETRIES = ("dft", "hf", "rdkit")


@dataclass(frozen=True)
class Target:
    """A property of molecules: `values` (M,) in `unit`."""

    values: np.ndarray
    unit: str


@dataclass
class Conformers:
    """The downstream set in memory; `cids` (M,), arrays as in the file."""

    cids: list[str]
    ptr: np.ndarray
    atomic_numbers: np.ndarray
    targets: dict[str, Target]
    geometry: dict[str, np.ndarray]
    charge: np.ndarray
    multiplicity: np.ndarray

    def atoms(self, index: int) -> slice:
        """Return the slice of a molecule's atoms."""
        return slice(int(self.ptr[index]), int(self.ptr[index + 1]))

    def index(self, cids: Sequence[str]) -> np.ndarray:
        """Return the rows of CIDs, in their order; `UserError` for one that is absent."""
        rows = {cid: row for row, cid in enumerate(self.cids)}
        absent = [cid for cid in cids if cid not in rows]
        if absent:
            more = f" and {len(absent) - 1} more" if absent[1:] else ""
            raise UserError(
                f"the downstream set lacks CID {absent[0]}{more}: selection, conformers and "
                "relaxations must be of the same shards"
            )
        return np.array([rows[cid] for cid in cids], dtype=np.int64)


def write_conformers(path: Path, conformers: Conformers) -> None:
    """Write the file."""
    with h5py.File(path, "w") as file:
        file["cid"] = np.array(conformers.cids, dtype="S")  # as wide as the longest
        file["ptr"] = conformers.ptr
        file["atomic_numbers"] = conformers.atomic_numbers
        # There without targets, too: a file that has no such group is one of before.
        targets = file.create_group("target")
        for name, target in conformers.targets.items():
            targets[name] = target.values
            targets[name].attrs["unit"] = target.unit
        file["charge"], file["multiplicity"] = conformers.charge, conformers.multiplicity
        for name, positions in conformers.geometry.items():
            file[f"geometry/{name}"] = positions


def read_conformers(path: Path) -> Conformers:
    """Read the file; `UserError` where it is none."""
    with reading(path, "a downstream set, HDF5"), h5py.File(path, "r") as file:
        return Conformers(
            cids=[cid.decode() for cid in file["cid"][:]],
            ptr=file["ptr"][:],
            atomic_numbers=file["atomic_numbers"][:],
            targets=_targets(file),
            geometry={name: file[f"geometry/{name}"][:] for name in GEOMETRIES},
            charge=file["charge"][:],
            multiplicity=file["multiplicity"][:],
        )


def _targets(file: h5py.File) -> dict[str, Target]:
    """Return the targets by name."""
    if "target" not in file:
        return {"gap": Target(file["gap"][:], "eV")}
    return {
        name: Target(column[:], str(column.attrs["unit"]))
        for name, column in file["target"].items()
    }
