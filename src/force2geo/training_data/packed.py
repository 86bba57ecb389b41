"""Packed snapshots: one HDF5 file of flat arrays that training maps into memory.

Datasets, S snapshots with N atoms in all: `ptr` (S+1,) where snapshots start, `atomic_numbers`
(N,), `positions` (N,3) Å, `forces` (N,3) eV/Å, `energy` (S,) eV float64, `cid` (S,) the
molecules' names, `source`
(S,) index into the attribute `sources`, `split` (S,) index into `SPLITS`, `charge` (S,) in e and
`multiplicity` (S,). They lie contiguous and
uncompressed, 25 bytes an atom and 36 a snapshot, so that a file larger than memory can be mapped.
The attribute `charge_states` (K,2) lists each charge and multiplicity that is in the file,
`packed_levels` the levels of theory, the most frequent first; `levels` are those of the rows of
`level_references` (L,101) eV, by which energies were moved to one scale.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from typing import TYPE_CHECKING

import h5py
import numpy as np

from force2geo.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from force2geo.curation.levels import Level

_SLAB = 1 << 20  # rows copied at once
_NAME = 16  # bytes of a molecule's name; a CID has nine digits

SPLITS = ("train", "val", "test")

COLUMNS: dict[str, tuple[tuple[int, ...], str]] = {
    "atomic_numbers": ((), "u1"),
    "positions": ((3,), "f4"),
    "forces": ((3,), "f4"),
    "energy": ((), "f8"),
    "cid": ((), f"S{_NAME}"),
    "source": ((), "u1"),
    "split": ((), "u1"),
    "charge": ((), "i1"),
    "multiplicity": ((), "u1"),
    "ptr": ((), "i8"),
}


class PackedWriter:
    """Appends molecules' snapshots to a new file; memory stays flat as data grows.

    A contiguous column needs its length beforehand, so the columns grow in unnamed files in the
    same folder and are put together by `close`.
    """

    def __init__(self, path: Path, sources: Sequence[str]) -> None:
        self.path = path
        self.sources = list(sources)
        self._files = {name: tempfile.TemporaryFile(dir=path.parent) for name in COLUMNS}  # noqa: SIM115
        self._atoms = 0
        self._states: set[tuple[int, int]] = set()
        self._write({"ptr": np.zeros(1, dtype=np.int64)})

    def _write(self, values: dict[str, np.ndarray]) -> None:
        for name, part in values.items():
            self._files[name].write(np.ascontiguousarray(part, dtype=COLUMNS[name][1]).tobytes())

    def add(
        self,
        cid: str,
        atomic_numbers: np.ndarray,
        positions: np.ndarray,
        energy: np.ndarray,
        forces: np.ndarray,
        source: str,
        split: str,
        state: tuple[int, int] = (0, 1),
    ) -> None:
        """Append T snapshots of one molecule: (n,), (T,n,3) Å, (T,) eV, (T,n,3) eV/Å.

        `state` is its charge and its multiplicity.
        """
        name = cid.encode()
        if len(name) > _NAME:
            raise UserError(f"molecule '{cid}': its name has more than {_NAME} bytes")
        count, atoms = positions.shape[:2]
        if count:
            self._states.add(state)
        values = {
            "atomic_numbers": np.tile(atomic_numbers, count),
            "positions": positions.reshape(-1, 3).astype(np.float32),
            "forces": forces.reshape(-1, 3).astype(np.float32),
            "energy": energy,
            "cid": np.full(count, name),
            "source": np.full(count, self.sources.index(source), dtype=np.uint8),
            "split": np.full(count, SPLITS.index(split), dtype=np.uint8),
            "charge": np.full(count, state[0], dtype=np.int8),
            "multiplicity": np.full(count, state[1], dtype=np.uint8),
            "ptr": self._atoms + atoms * np.arange(1, count + 1),
        }
        self._write(values)
        self._atoms += count * atoms

    def close(
        self,
        references: dict[Level, np.ndarray] | None = None,
        levels: Counter[Level | str] | None = None,
    ) -> None:
        """Write the file; `references` that moved its energies are kept as attributes.

        `levels` counts the snapshots of each level.
        """
        with h5py.File(self.path, "w") as file:
            file.attrs["sources"] = self.sources
            states = np.array(sorted(self._states), dtype=np.int64)
            file.attrs["charge_states"] = states.reshape(-1, 2)
            if levels:
                named: Counter[str] = Counter()
                for level, count in levels.items():
                    named[str(level)] += count
                file.attrs["packed_levels"] = [name for name, _ in named.most_common()]
            if references:
                file.attrs["levels"] = [str(level) for level in references]
                file.attrs["level_references"] = np.array(list(references.values()))
            for name, (shape, kind) in COLUMNS.items():
                self._copy(name, np.dtype(kind), shape, file)

    def _copy(self, name: str, kind: np.dtype, shape: tuple[int, ...], file: h5py.File) -> None:
        with self._files[name] as source:
            size = kind.itemsize * int(np.prod(shape))
            rows = source.seek(0, 2) // size
            source.seek(0)
            column = file.create_dataset(name, shape=(rows, *shape), dtype=kind)
            for first in range(0, rows, _SLAB):
                values = np.frombuffer(source.read(size * _SLAB), dtype=kind)
                column[first : first + _SLAB] = values.reshape(-1, *shape)


def states_of(path: Path, file: h5py.File) -> np.ndarray:
    """Return charge (e) and multiplicity (S,2) of all snapshots of an open packed file.

    `UserError` for one of before each snapshot had them, where not all have the same.
    """
    if "charge" in file:
        return np.stack([file["charge"][:], file["multiplicity"][:]], axis=1).astype(int)
    # Files of before these were kept with each snapshot.
    known = np.asarray(file.attrs.get("charge_states", [[0, 1]]))
    if len(known) > 1:
        raise UserError(f"{path}: packed by an older version that kept no charges, pack it again")
    return np.tile(known, (len(file["ptr"]) - 1, 1))
