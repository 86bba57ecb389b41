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

_CHUNK = 1_000_000


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
        atoms, counts = self.atoms(rows)
        lengths = torch.from_numpy(counts)
        return Batch(
            atomic_numbers=torch.from_numpy(self.atomic_numbers[atoms].astype(np.int64)),
            positions=torch.from_numpy(self.positions[atoms]),
            molecule=torch.repeat_interleave(torch.arange(len(rows)), lengths),
            ptr=torch.from_numpy(np.concatenate([[0], np.cumsum(counts)])),
            energy=torch.from_numpy(self.energy[rows]),
            forces=torch.from_numpy(self.forces[atoms]),
        )

    def atoms(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the places (N,) of the atoms of snapshots in the file, and their counts (S,)."""
        starts, counts = self.ptr[rows], self.ptr[rows + 1] - self.ptr[rows]
        ends = np.cumsum(counts)
        last = int(ends[-1]) if len(ends) else 0
        return np.repeat(starts - (ends - counts), counts) + np.arange(last), counts

    def elements(self) -> list[int]:
        """Return the atomic numbers in use, ascending."""
        present = np.zeros(101, dtype=bool)
        for first in range(0, len(self.rows), _CHUNK):
            present[self.atomic_numbers[self.atoms(self.rows[first : first + _CHUNK])[0]]] = True
        return np.flatnonzero(present).tolist()

    def composition(self) -> np.ndarray:
        """Return (S, 101) counts of each element in each snapshot in use."""
        atoms, counts = self.atoms(self.rows)
        cell = np.repeat(np.arange(len(self.rows)) * 101, counts) + self.atomic_numbers[atoms]
        found = np.bincount(cell, minlength=101 * len(self.rows))
        return found.reshape(-1, 101).astype(np.float64)
