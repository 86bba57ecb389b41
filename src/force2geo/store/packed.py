"""Packed snapshots: one HDF5 file of flat arrays that training reads whole or in slices.

Datasets, S snapshots with N atoms in all: `ptr` (S+1,) where snapshots start, `atomic_numbers`
(N,), `positions` (N,3) Å, `forces` (N,3) eV/Å, `energy` (S,) eV float64, `cid` (S,), `source`
(S,) index into the attribute `sources`, `split` (S,) index into `SPLITS`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import h5py
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SPLITS = ("train", "val", "test")

COLUMNS: dict[str, tuple[tuple[int, ...], str]] = {
    "atomic_numbers": ((), "u1"),
    "positions": ((3,), "f4"),
    "forces": ((3,), "f4"),
    "energy": ((), "f8"),
    "cid": ((), "S9"),
    "source": ((), "u1"),
    "split": ((), "u1"),
    "ptr": ((), "i8"),
}


class PackedWriter:
    """Appends molecules' snapshots to a new file; memory stays flat as data grows."""

    def __init__(self, path: Path, sources: Sequence[str]) -> None:
        self.file = h5py.File(path, "w")
        self.file.attrs["sources"] = list(sources)
        self.sources = list(sources)
        for name, (shape, kind) in COLUMNS.items():
            self.file.create_dataset(
                name,
                shape=(0, *shape),
                maxshape=(None, *shape),
                dtype=kind,
                chunks=(16384, *shape),
                compression="gzip",
                shuffle=True,
            )
        self._append("ptr", np.zeros(1, dtype=np.int64))

    def _append(self, name: str, values: np.ndarray) -> None:
        column = self.file[name]
        old = column.shape[0]
        column.resize(old + len(values), axis=0)
        column[old:] = values

    def add(
        self,
        cid: str,
        atomic_numbers: np.ndarray,
        positions: np.ndarray,
        energy: np.ndarray,
        forces: np.ndarray,
        source: str,
        split: str,
    ) -> None:
        """Append T snapshots of one molecule: (n,), (T,n,3) Å, (T,) eV, (T,n,3) eV/Å."""
        count, atoms = positions.shape[:2]
        start = int(self.file["atomic_numbers"].shape[0])
        self._append("atomic_numbers", np.tile(atomic_numbers, count))
        self._append("positions", positions.reshape(-1, 3))
        self._append("forces", forces.reshape(-1, 3))
        self._append("energy", energy)
        self._append("cid", np.full(count, cid.encode()))
        self._append("source", np.full(count, self.sources.index(source)))
        self._append("split", np.full(count, SPLITS.index(split)))
        self._append("ptr", start + atoms * np.arange(1, count + 1))

    def close(self) -> None:
        """Finish the file."""
        self.file.close()
