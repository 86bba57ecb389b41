"""Molecules to predict and to relax: targets, geometries of different quality, bonds and splits.

HDF5 datasets, M molecules with N atoms in all: `cid` (M,) their names, `ptr` (M+1,),
`atomic_numbers` (N,), `charge` (M,) e, `multiplicity` (M,), `target/<name>` (M,) with the
attributes `unit` and, where it grows with the molecule, `extensive` (NaN where a molecule has none;
files of before had `gap`, eV, alone), `geometry/<name>` (N,3) Å in one atom order (NaN where there
is none, and then a reason: `without/<name>` (M,) is a place in its attribute `reasons`): `dft` the
relaxed reference, `rdkit` a conformer embedded from the SMILES, `hf` what PM3 and HF relaxation
gave, and what else the data set has.

Of what is written of a molecule: `smiles` (M,), `skeleton` (M,) the first block of the InChIKey,
`place` (N,) each atom's place in the SMILES with its hydrogens behind, −1 where that is not known.
`graph/atoms` (N,9), `graph/ptr` (M+1,), `graph/bonds` (K,2) atoms within the molecule and
`graph/orders` (K,3) are the bonds (`molecular_graphs.py`), each once; `graph/known` (M,) says whose
they are. `split/<name>/<part>` are the rows of a part of the data set's own splits.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from force2geo.errors import UserError
from force2geo.files import reading
from force2geo.training_data.molecular_graphs import ATOM_SIZES, BOND_SIZES

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from force2geo.training_data.molecular_graphs import BondGraph

_SLAB = 1 << 10  # molecules written at once
_WITHOUT = "the data set has none"


@dataclass(frozen=True)
class Target:
    """A property of molecules: `values` (M,) in `unit`, sums over atoms where it is `extensive`."""

    values: np.ndarray
    unit: str
    extensive: bool = False


@dataclass(frozen=True)
class Graphs:
    """Bonds of all molecules: `atoms` (N,9), `ptr` (M+1,), `bonds` (K,2), `orders` (K,3).

    `known` (M,) says of which molecules they are there; see the file.
    """

    atoms: np.ndarray
    ptr: np.ndarray
    bonds: np.ndarray
    orders: np.ndarray
    known: np.ndarray


@dataclass
class Conformers:
    """A set of molecules in memory; `cids` (M,), arrays as in the file.

    `splits` are names by part, `reasons` (M,) why a molecule has no such geometry; `skeletons` (M,)
    and `graphs` are None where the file has none, graphs also where nobody asked for them. Errors
    name the `origin`.
    """

    cids: list[str]
    ptr: np.ndarray
    atomic_numbers: np.ndarray
    targets: dict[str, Target]
    geometry: dict[str, np.ndarray]
    charge: np.ndarray
    multiplicity: np.ndarray
    splits: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    reasons: dict[str, np.ndarray] = field(default_factory=dict)
    skeletons: np.ndarray | None = None
    graphs: Graphs | None = None
    origin: str = "these molecules"

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

    def positions(self, geometry: str) -> np.ndarray:
        """Return a geometry (N,3) Å; `UserError` where no molecule has one of that name."""
        if geometry not in self.geometry:
            raise UserError(
                f"{self.origin}: no geometry '{geometry}', only {', '.join(self.geometry)}"
            )
        return self.geometry[geometry]

    def reason(self, index: int, geometry: str) -> str:
        """Return why a molecule has no such geometry, nothing where that is not said."""
        return str(self.reasons[geometry][index]) if geometry in self.reasons else ""


@dataclass(frozen=True)
class Row:
    """A molecule to be written; n atoms, arrays as in the file.

    `reasons` say why there is no geometry of a name.
    """

    name: str
    atomic_numbers: np.ndarray
    charge: int
    multiplicity: int
    targets: Mapping[str, float]
    geometry: Mapping[str, np.ndarray]
    reasons: Mapping[str, str] = field(default_factory=dict)
    smiles: str = ""
    skeleton: str = ""
    places: np.ndarray | None = None
    graph: BondGraph | None = None


class ConformersWriter:
    """Appends molecules to a new file; memory stays flat as data grows.

    `units` are the targets', by name, and `extensive` the names of those that grow with a molecule.
    Use it in a `with` block and `close` it at its end.
    """

    def __init__(
        self, path: Path, units: Mapping[str, str], extensive: Collection[str] = ()
    ) -> None:
        self._file = h5py.File(path, "w")
        self._units, self._rows = dict(units), list[Row]()
        self._extensive = frozenset(extensive)
        self._names: dict[str, int] = {}
        self._reasons: dict[str, dict[str, int]] = {}
        self._atoms = self._bonds = 0
        self.counts: dict[str, Counter[str]] = {}
        """How many molecules have no geometry of a name, by reason."""
        # There without targets, too: a file that has no such group is one of before.
        self._file.create_group("target")
        for name in ("ptr", "graph/ptr"):
            self._append(name, np.zeros(1, dtype=np.int64))

    def __enter__(self) -> ConformersWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __len__(self) -> int:
        return len(self._names)

    def add(self, row: Row) -> None:
        """Append a molecule; `UserError` where there is one of its name."""
        if row.name in self._names:
            raise UserError(f"molecule '{row.name}': there are two of this name")
        self._names[row.name] = len(self._names)
        self._rows.append(row)
        if len(self._rows) == _SLAB:
            self._write()

    def close(self, splits: Mapping[str, Mapping[str, Sequence[str]]] | None = None) -> int:
        """Write what is left and `splits`; return how many names in these are no molecule here."""
        self._write()
        absent = set()
        for split, parts in (splits or {}).items():
            self._file.create_group(f"split/{split}", track_order=True)
            for part, names in parts.items():
                absent |= {name for name in names if name not in self._names}
                rows = [self._names[name] for name in names if name in self._names]
                self._file[f"split/{split}/{part}"] = np.array(rows, dtype=np.int64)
        for name, known in self._reasons.items():
            self._file[f"without/{name}"].attrs["reasons"] = list(known)
        return len(absent)

    def _append(self, name: str, values: np.ndarray, kind: Any = None, fill: Any = None) -> None:
        """Put rows at the end of a column, which is made where it is new."""
        if name not in self._file:
            shape = values.shape[1:]
            self._file.create_dataset(
                name, (0, *shape), kind or values.dtype, maxshape=(None, *shape), chunks=True,
                fillvalue=fill,
            )  # fmt: skip
        column = self._file[name]
        column.resize(len(column) + len(values), axis=0)
        if len(values):
            column[-len(values) :] = values

    def _write(self) -> None:
        """Write the molecules that wait."""
        rows, self._rows = self._rows, []
        sizes = [len(row.atomic_numbers) for row in rows]
        text = h5py.string_dtype()
        for name, texts in (
            ("cid", [row.name for row in rows]),
            ("smiles", [row.smiles for row in rows]),
            ("skeleton", [row.skeleton for row in rows]),
        ):
            self._append(name, np.array(texts, dtype=object), text)
        self._append("ptr", self._atoms + np.cumsum(sizes, dtype=np.int64))
        numbers = [row.atomic_numbers for row in rows]
        self._append("atomic_numbers", _joined(numbers, (), np.uint8))
        for name in ("charge", "multiplicity"):
            self._append(name, np.array([getattr(row, name) for row in rows], dtype=np.int64))
        for name, unit in self._units.items():
            values = [row.targets.get(name, np.nan) for row in rows]
            self._append(f"target/{name}", np.array(values, dtype=np.float64))
            self._file[f"target/{name}"].attrs["unit"] = unit
            if name in self._extensive:
                self._file[f"target/{name}"].attrs["extensive"] = True
        self._write_geometries(rows, sizes)
        unknown = [np.full(size, -1, dtype=np.int32) for size in sizes]
        places = [
            none if row.places is None else row.places
            for row, none in zip(rows, unknown, strict=True)
        ]
        self._append("place", _joined(places, (), np.int32))
        self._write_graphs(rows, sizes)
        self._atoms += sum(sizes)

    def _write_geometries(self, rows: Sequence[Row], sizes: Sequence[int]) -> None:
        before = len(self._names) - len(rows)
        named = [name for row in rows for name in (*row.geometry, *row.reasons)]
        for name in dict.fromkeys([*self._reasons, *named]):
            codes = self._reasons.setdefault(name, {"": 0})
            if f"geometry/{name}" not in self._file:
                # Those before have none.
                self._append(f"geometry/{name}", np.full((self._atoms, 3), np.nan), fill=np.nan)
                earlier = codes.setdefault(_WITHOUT, 1) if before else 0
                self._append(f"without/{name}", np.full(before, earlier, dtype=np.uint16))
                self._count(name, [_WITHOUT] * before)
            reasons = [
                "" if name in row.geometry else row.reasons.get(name, _WITHOUT) for row in rows
            ]
            found = [codes.setdefault(reason, len(codes)) for reason in reasons]
            self._append(f"without/{name}", np.array(found, dtype=np.uint16))
            self._count(name, [reason for reason in reasons if reason])
            parts = [
                row.geometry.get(name, np.full((size, 3), np.nan))
                for row, size in zip(rows, sizes, strict=True)
            ]
            self._append(f"geometry/{name}", _joined(parts, (3,), np.float64), fill=np.nan)

    def _count(self, name: str, reasons: Sequence[str]) -> None:
        self.counts.setdefault(name, Counter()).update(reasons)

    def _write_graphs(self, rows: Sequence[Row], sizes: Sequence[int]) -> None:
        found = [row.graph for row in rows]
        known = [graph for graph in found if graph is not None]
        atoms = [
            np.zeros((size, len(ATOM_SIZES))) if graph is None else graph.atoms
            for graph, size in zip(found, sizes, strict=True)
        ]
        counts = [0 if graph is None else len(graph.bonds) for graph in found]
        orders = [graph.orders for graph in known]
        self._append("graph/known", np.array([graph is not None for graph in found], dtype=bool))
        self._append("graph/atoms", _joined(atoms, (len(ATOM_SIZES),), np.uint8))
        self._append("graph/ptr", self._bonds + np.cumsum(counts, dtype=np.int64))
        self._append("graph/bonds", _joined([graph.bonds for graph in known], (2,), np.int32))
        self._append("graph/orders", _joined(orders, (len(BOND_SIZES),), np.uint8))
        self._bonds += sum(counts)


def _joined(parts: Sequence[np.ndarray], shape: tuple[int, ...], kind: Any) -> np.ndarray:
    """Return parts (n,…) in one array, an empty one where there is none."""
    return np.concatenate([np.zeros((0, *shape), dtype=kind), *parts]).astype(kind, copy=False)


def write_conformers(path: Path, conformers: Conformers) -> None:
    """Write molecules in memory."""
    units = {name: one.unit for name, one in conformers.targets.items()}
    extensive = [name for name, one in conformers.targets.items() if one.extensive]
    with ConformersWriter(path, units, extensive) as writer:
        for row, name in enumerate(conformers.cids):
            atoms = conformers.atoms(row)
            writer.add(
                Row(
                    name,
                    conformers.atomic_numbers[atoms],
                    int(conformers.charge[row]),
                    int(conformers.multiplicity[row]),
                    {k: float(one.values[row]) for k, one in conformers.targets.items()},
                    {k: one[atoms] for k, one in conformers.geometry.items()},
                    skeleton="" if conformers.skeletons is None else str(conformers.skeletons[row]),
                )
            )
        writer.close(conformers.splits)


def read_conformers(path: Path, graphs: bool = False) -> Conformers:
    """Read the file, `graphs` where they are asked for; `UserError` where it is none."""
    with reading(path, "a downstream set, HDF5"), h5py.File(path, "r") as file:
        cids = _texts(file["cid"])
        return Conformers(
            cids=cids,
            ptr=file["ptr"][:],
            atomic_numbers=file["atomic_numbers"][:],
            targets=_targets(file),
            geometry={name: column[:] for name, column in file["geometry"].items()},
            charge=file["charge"][:],
            multiplicity=file["multiplicity"][:],
            splits=_splits(file, cids),
            reasons={
                name: np.array(column.attrs["reasons"], dtype=object)[column[:]]
                for name, column in file.get("without", {}).items()
            },
            skeletons=np.array(_texts(file["skeleton"])) if "skeleton" in file else None,
            graphs=_graphs(file) if graphs else None,
            origin=str(path),
        )


def names_and_splits(path: Path) -> tuple[list[str], dict[str, dict[str, list[str]]]]:
    """Return the names of a file's molecules, in their order, and those by split and part.

    `UserError` where it is none.
    """
    with reading(path, "a downstream set, HDF5"), h5py.File(path, "r") as file:
        names = _texts(file["cid"])
        return names, _splits(file, names)


def own_splits(path: Path) -> list[str]:
    """Return the names of the splits that a file has; `UserError` where it is none."""
    with reading(path, "a downstream set, HDF5"), h5py.File(path, "r") as file:
        return list(file.get("split", {}))


def _splits(file: h5py.File, names: Sequence[str]) -> dict[str, dict[str, list[str]]]:
    return {
        name: {part: [names[row] for row in rows[:]] for part, rows in parts.items()}
        for name, parts in file.get("split", {}).items()
    }


def _texts(column: h5py.Dataset) -> list[str]:
    return [text.decode() for text in column[:]]


def _targets(file: h5py.File) -> dict[str, Target]:
    """Return the targets by name."""
    if "target" not in file:
        return {"gap": Target(file["gap"][:], "eV")}
    return {
        name: Target(column[:], str(column.attrs["unit"]), "extensive" in column.attrs)
        for name, column in file["target"].items()
    }


def _graphs(file: h5py.File) -> Graphs | None:
    """Return the bonds, None for a file of before."""
    if "graph" not in file:
        return None
    return Graphs(**{name: file[f"graph/{name}"][:] for name in Graphs.__dataclass_fields__})
