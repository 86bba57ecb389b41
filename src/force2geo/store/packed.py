"""Packed snapshots: one HDF5 file of flat arrays that training reads whole or in slices.

Datasets, S snapshots with N atoms in all: `ptr` (S+1,) where snapshots start, `atomic_numbers`
(N,), `positions` (N,3) Å, `forces` (N,3) eV/Å, `energy` (S,) eV float64, `cid` (S,), `source`
(S,) index into the attribute `sources`, `split` (S,) index into `SPLITS`.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import h5py
import numpy as np

from force2geo.store.levels import level_of
from force2geo.store.lmdb_store import Shard
from force2geo.units import GRADIENT_TO_FORCE, HARTREE_TO_EV

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from force2geo.store.levels import Level

_FLUSH_ATOMS = 1 << 19

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
        self._buffer: dict[str, list[np.ndarray]] = {name: [] for name in COLUMNS}
        self._buffer["ptr"].append(np.zeros(1, dtype=np.int64))
        self._atoms = self._flushed = 0

    def _flush(self) -> None:
        for name, parts in self._buffer.items():
            if not parts:
                continue
            values, column = np.concatenate(parts), self.file[name]
            old = column.shape[0]
            column.resize(old + len(values), axis=0)
            column[old:] = values
            parts.clear()
        self._flushed = self._atoms

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
        values = {
            "atomic_numbers": np.tile(atomic_numbers, count),
            "positions": positions.reshape(-1, 3).astype(np.float32),
            "forces": forces.reshape(-1, 3).astype(np.float32),
            "energy": energy,
            "cid": np.full(count, cid.encode()),
            "source": np.full(count, self.sources.index(source), dtype=np.uint8),
            "split": np.full(count, SPLITS.index(split), dtype=np.uint8),
            "ptr": self._atoms + atoms * np.arange(1, count + 1),
        }
        for name, part in values.items():
            self._buffer[name].append(part)
        self._atoms += count * atoms
        if self._atoms - self._flushed > _FLUSH_ATOMS:
            self._flush()

    def close(self, references: dict[Level, np.ndarray] | None = None) -> None:
        """Finish the file; `references` that moved its energies are kept as attributes."""
        self._flush()
        if references:
            self.file.attrs["levels"] = [str(level) for level in references]
            self.file.attrs["level_references"] = np.array(list(references.values()))
        self.file.close()


def pack_trajectories(
    writer: PackedWriter,
    shards: Iterable[Path],
    split_of: dict[str, str],
    align: Callable[[Level, np.ndarray, np.ndarray], np.ndarray],
) -> Counter[Level]:
    """Write the molecules of a split; return how many snapshots there are of each level.

    Snapshots without energy or gradient are left out. A molecule in two shards is taken from the
    first.
    """
    left, levels = dict(split_of), Counter()  # type: tuple[dict[str, str], Counter[Level]]
    for shard in shards:
        for record in Shard(shard).records():
            split = left.pop(record.header["cid"], None)
            if split is None:
                continue
            trajectory = record.trajectory(writer.sources)
            for source, stage in trajectory.stages.items():
                whole = np.isfinite(stage.energies) & np.isfinite(stage.gradients).all(axis=(1, 2))
                level = level_of(stage)
                levels[level] += int(whole.sum())
                energies = stage.energies[whole] * HARTREE_TO_EV
                writer.add(
                    trajectory.cid,
                    trajectory.atomic_numbers,
                    stage.positions[whole],
                    align(level, trajectory.atomic_numbers, energies),
                    stage.gradients[whole] * GRADIENT_TO_FORCE,
                    source,
                    split,
                )
    return levels
