"""Packed snapshots as a data set that makes batches."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import torch

from force2geo.errors import UserError
from force2geo.potentials.batch import Batch
from force2geo.store.packed import COLUMNS, SPLITS

if TYPE_CHECKING:
    from pathlib import Path


@dataclass
class Snapshots:
    """Snapshots in memory; arrays as in the file, `rows` the ones in use."""

    ptr: np.ndarray
    atomic_numbers: np.ndarray
    positions: np.ndarray
    forces: np.ndarray
    energy: np.ndarray
    cid: np.ndarray
    source: np.ndarray
    split: np.ndarray
    sources: list[str]
    rows: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    @classmethod
    def read(cls, path: Path) -> Snapshots:
        """Read a packed file; every snapshot is in use."""
        with h5py.File(path, "r") as file:
            columns: dict[str, Any] = {name: file[name][:] for name in COLUMNS}
            sources = [str(name) for name in file.attrs["sources"]]
        return cls(**columns, sources=sources, rows=np.arange(len(columns["energy"])))

    def where(self, split: str, source: str | None = None) -> Snapshots:
        """Return the snapshots of a split and, when given, of one source; arrays are shared."""
        keep = self.split[self.rows] == SPLITS.index(split)
        if source is not None:
            code = self.sources.index(source) if source in self.sources else -1
            keep &= self.source[self.rows] == code
        return Snapshots(**{**self.__dict__, "rows": self.rows[keep]})

    def __len__(self) -> int:
        return len(self.rows)

    def require(self, what: str) -> Snapshots:
        """Return self, or raise `UserError` naming `what` when there is no snapshot."""
        if not len(self):
            raise UserError(f"no snapshot to use as {what}: the selection left none")
        return self

    def batch(self, indices: np.ndarray, rng: np.random.Generator | None = None) -> Batch:
        """Return the snapshots at `indices` (into `rows`) with energies and forces."""
        rows = self.rows[indices]
        starts, counts = self.ptr[rows], self.ptr[rows + 1] - self.ptr[rows]
        ends = np.cumsum(counts)
        atoms = np.repeat(starts - (ends - counts), counts) + np.arange(ends[-1])
        lengths = torch.from_numpy(counts)
        return Batch(
            atomic_numbers=torch.from_numpy(self.atomic_numbers[atoms].astype(np.int64)),
            positions=torch.from_numpy(self.positions[atoms]),
            molecule=torch.repeat_interleave(torch.arange(len(rows)), lengths),
            ptr=torch.from_numpy(np.concatenate([[0], ends])),
            energy=torch.from_numpy(self.energy[rows]),
            forces=torch.from_numpy(self.forces[atoms]),
        )

    def composition(self) -> np.ndarray:
        """Return (S, 101) counts of each element in each snapshot in use."""
        counts = np.zeros((len(self.rows), 101))
        for line, row in enumerate(self.rows):
            numbers = self.atomic_numbers[self.ptr[row] : self.ptr[row + 1]]
            counts[line] = np.bincount(numbers, minlength=101)
        return counts
