"""Molecule3D: four million organic molecules at their B3LYP minima, with splits of its own."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from force2geo.curation.joined import join, undecoded
from force2geo.datasets.pubchemqcr import shards_of
from force2geo.errors import UserError
from force2geo.files import read_json, reading
from force2geo.settings import setting
from force2geo.training_data.alignment import aligned
from force2geo.training_data.dataset import About, DataSet, File, Molecule
from force2geo.training_data.sdf import parse, records

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from force2geo.trajectory import Trajectory

# Molecules of each file, in the order in which splits count them.
_FILES = {
    "combined_mols_0_to_1000000.sdf": 1_000_000,
    "combined_mols_1000000_to_2000000.sdf": 1_000_000,
    "combined_mols_2000000_to_3000000.sdf": 1_000_000,
    "combined_mols_3000000_to_3899647.sdf": 899_647,
}
_PROPERTIES = "properties.csv"
# Our parts and theirs.
_PARTS = {"train": "train", "val": "valid", "test": "test"}
# Columns as cclib, which wrote them, gives them: orbitals and energy in eV, the dipole in Debye.
_COLUMNS = ("homo", "lumo", "homolumogap", "scf energy", "dipole x", "dipole y", "dipole z")
# eV, by which a printed gap may differ from the difference of what is printed beside it.
_ROUNDED = 1e-3


@dataclass(frozen=True)
class Molecule3DSettings:
    """Which split, how much of it, and whose geometries beside the relaxed ones.

    `among` `test` is what Molecule3D's authors predict properties on: the test part of their split,
    which is split once more, 8:1:1.
    """

    folder: str = setting(
        f"folder of combined_mols_*.sdf, {_PROPERTIES} and the splits' JSON files"
    )
    split: Literal["random", "scaffold"] = setting("the published split", "random")
    among: Literal["all", "test"] = setting(
        "all molecules in three parts, or those of the test part in the three parts of it", "all"
    )
    sample: int | None = setting(
        "molecules, drawn from each part in proportion to its size; null for all; a smaller sample "
        "of the same seed is part of a larger one",
        None,
        unit="molecules",
        least=3,
    )
    align: Literal["pubchemqcr"] | None = setting(
        "adds the geometry hf of the run's own store, in the same order of atoms", None
    )
    shards: tuple[str, ...] | None = setting("shards of that store, all by default", None)


class Molecule3D(DataSet):
    """Molecules by CID, with DFT's geometry, orbital energies, energy and dipole moment.

    The energy is the first that a molecule's log prints, as Molecule3D took it.
    """

    Settings = Molecule3DSettings
    kinds = ("molecules",)
    units = {"gap": "eV", "homo": "eV", "lumo": "eV", "energy": "eV", "dipole": "D"}
    extensive = ("energy",)
    about = About(
        "Molecule3D",
        "B3LYP/6-31G*",
        "Z. Xu et al., arXiv:2110.01717",
        "GPL-3.0 (MoleculeX); of PubChemQC, CC-BY-4.0",
        "github.com/divelab/MoleculeX (Molecule3D, raw data)",
    )

    def __init__(self, settings: Molecule3DSettings, paths: dict[str, Path] | None = None) -> None:
        super().__init__(settings, paths)
        if settings.align is not None:
            self.needs = ("store",)
        self._reasons: Counter[str] = Counter()
        self._unaligned: Counter[str] = Counter()
        self._lost: set[int] = set()

    def files(self) -> list[File]:
        """Return structures, properties and splits; neither sizes nor checksums are published."""
        names = [*_FILES, _PROPERTIES, f"{self.settings.split}_split_inds.json"]
        if self.settings.among == "test":
            names.append(f"{self.settings.split}_test_split_inds.json")
        return [File(name) for name in names]

    def read_from(self) -> list[Path]:
        """Return the published files and, where they are aligned, the shards."""
        shards = self._shards() if self.settings.align else []
        return [*super().read_from(), *shards]

    def _shards(self) -> list[Path]:
        return shards_of(self.paths["store"], self.settings.shards)

    def geometries(self) -> tuple[str, ...]:
        """Return DFT's and RDKit's, and that of the run's own store where it is aligned with it."""
        return ("dft", "rdkit", *(("hf",) if self.settings.align else ()))

    def molecules(self) -> Iterator[Molecule]:
        """Yield the molecules of the parts, ascending in CID."""
        part = self._part_of_each()
        store = _Store(self._shards()) if self.settings.align else None
        for place, (record, cid, row) in enumerate(self._rows()):
            if not part[place]:
                continue
            molecule = _molecule(record, cid, row)
            if isinstance(molecule, str):
                self._reasons[molecule] += 1
                self._lost.add(place)
                continue
            if store is not None:
                found = store.geometry(molecule)
                if isinstance(found, str):
                    self._unaligned[found] += 1
                else:
                    molecule.geometries["hf"] = found
            yield molecule
        self.notes += [f"{count} molecules left out: {one}" for one, count in _most(self._reasons)]
        self.notes += [
            f"{count} molecules without the geometry hf: {one}"
            for one, count in _most(self._unaligned)
        ]

    def splits(self) -> dict[str, dict[str, list[str]]]:
        """Return the split, without molecules that could not be read."""
        numbers = np.array([-1 if cid is None else cid for cid, _ in self._properties()])
        parts = {
            name: [_name(numbers[place]) for place in places if place not in self._lost]
            for name, places in self._parts().items()
        }
        return {self.settings.split: parts}

    def _part_of_each(self) -> np.ndarray:
        """Return for each molecule (m,) of the files whether it is in a part."""
        wanted = np.zeros(sum(_FILES.values()), dtype=bool)
        for places in self._parts().values():
            wanted[places] = True
        return wanted

    def _parts(self) -> dict[str, np.ndarray]:
        """Return the places in the files of each part's molecules, of the sample alone."""
        parts = self._read_split("", sum(_FILES.values()))
        if self.settings.among == "test":
            # They count the molecules of the test part as the files have them.
            inside = np.sort(parts["test"])
            parts = {
                name: inside[places]
                for name, places in self._read_split("test_", len(inside)).items()
            }
        if self.settings.sample is None:
            return parts
        sizes = shares(self.settings.sample, [len(places) for places in parts.values()])
        drawn = {}
        for number, (name, places) in enumerate(parts.items()):
            order = np.random.default_rng([self.seed, number]).permutation(len(places))
            drawn[name] = places[np.sort(order[: sizes[number]])]
        return drawn

    def _read_split(self, which: str, count: int) -> dict[str, np.ndarray]:
        path = self.folder() / f"{self.settings.split}_{which}split_inds.json"
        with reading(path, "a split of Molecule3D, JSON with train, valid and test"):
            read = read_json(path)
            parts = {ours: np.array(read[name], dtype=np.int64) for ours, name in _PARTS.items()}
            whole = np.sort(np.concatenate(list(parts.values())))
        if not np.array_equal(whole, np.arange(count)):
            raise UserError(f"{path}: its parts are not {count} molecules, each once")
        return parts

    def _properties(self) -> Iterator[tuple[int | None, list[str]]]:
        """Yield each molecule's CID, None where it is none, and the texts of `_COLUMNS`.

        `UserError` where they are not as many as published.
        """
        path, count = self.folder() / _PROPERTIES, 0
        asked = ("cid", *_COLUMNS)
        with (
            reading(path, f"Molecule3D's properties, CSV with {', '.join(asked)}"),
            path.open(newline="", encoding="utf-8") as file,
        ):
            lines = csv.reader(file)
            header = next(lines, [])
            places = [header.index(column) for column in asked]
            for line in lines:
                count += 1
                cid, *row = (line[place] if place < len(line) else "" for place in places)
                yield (int(cid) if cid.isdecimal() else None), row
        _counted(path, count, sum(_FILES.values()))

    def _rows(self) -> Iterator[tuple[bytes, int | None, list[str]]]:
        """Yield each record of the structures with its row of properties."""
        rows = self._properties()
        for name, told in _FILES.items():
            path, count = self.folder() / name, 0
            with reading(path, "Molecule3D's structures, SDF"), path.open("rb") as file:
                for record in records(file):
                    count += 1
                    if count > told:
                        break  # the rest belongs to no row
                    row = next(rows, None)
                    if row is not None:
                        yield record, *row
            _counted(path, count, told, "at least " if count > told else "")
        for _ in rows:  # to its end, where they are counted
            pass


class _Store:
    """The run's own relaxations, asked for by ascending CID, so that memory holds one."""

    def __init__(self, shards: Sequence[Path]) -> None:
        self._walk = undecoded(shards)
        self._next = next(self._walk, None)
        self._last = ""

    def geometry(self, molecule: Molecule) -> np.ndarray | str:
        """Return the first DFT geometry (n,3) Å in the order of a molecule's atoms, or why not."""
        if molecule.name <= self._last:
            return f"CIDs of {_PROPERTIES} do not ascend there"
        self._last = molecule.name
        while self._next is not None and self._next[0] < molecule.name:
            self._next = next(self._walk, None)
        if self._next is None or self._next[0] != molecule.name:
            return "not in the store"
        trajectory, _ = join(*self._next, ("dft_1st", "dft_2nd"))
        return _first(trajectory, molecule)


def _first(trajectory: Trajectory, molecule: Molecule) -> np.ndarray | str:
    """Return where relaxation by DFT began; which atom is which is told by where it ended."""
    first, last = trajectory.stages.get("dft_1st"), trajectory.final_dft
    if first is None or last is None:
        return "no relaxation by DFT in the store"
    numbers = np.asarray(trajectory.atomic_numbers)
    order = aligned(
        numbers, last.positions[-1], molecule.atomic_numbers, molecule.geometries["dft"]
    )
    return order if isinstance(order, str) else first.positions[0][order]


def _molecule(record: bytes, cid: int | None, row: Sequence[str]) -> Molecule | str:
    """Return a molecule of its record and its row of properties, or why it is left out."""
    read = parse(record)
    if isinstance(read, str):
        return read
    if cid is None:
        return f"no CID in {_PROPERTIES}"
    try:
        homo, lumo, gap, energy, *dipole = (float(text) for text in row)
    except ValueError:
        return "properties are no numbers"
    targets = {
        "gap": gap,
        "homo": homo,
        "lumo": lumo,
        "energy": energy,
        "dipole": float(np.linalg.norm(dipole)),
    }
    if not np.isfinite(list(targets.values())).all():
        return "properties are no numbers"
    if abs(lumo - homo - gap) > _ROUNDED:
        return "its gap is not LUMO minus HOMO"
    if read.title.isdecimal() and int(read.title) != cid:
        return f"its title is another CID than {_PROPERTIES} has there"
    return Molecule(
        _name(cid),
        read.numbers,
        {"dft": read.positions},
        targets,
        read.smiles,
        charge=read.charge,
        multiplicity=read.multiplicity,
    )


def _name(cid: Any) -> str:
    return f"{cid:09d}"


def shares(count: int, sizes: Sequence[int]) -> list[int]:
    """Return how many of `count` fall to each of `sizes`, in proportion, no more than there are.

    What is left over by rounding goes to the largest remainders.
    """
    whole = sum(sizes)
    if count > whole:
        raise UserError(f"data set molecule3d: sample: {count}, of {whole} molecules")
    exact = [count * size / whole for size in sizes]
    found = [int(one) for one in exact]
    largest = sorted(range(len(sizes)), key=lambda place: found[place] - exact[place])
    for place in largest[: count - sum(found)]:
        found[place] += 1
    return found


def _most(reasons: Counter[str]) -> list[tuple[str, int]]:
    return reasons.most_common()


def _counted(path: Path, found: int, told: int, more: str = "") -> None:
    if found != told:
        raise UserError(
            f"{path}: {more}{found} molecules, published are {told}; splits and properties count "
            "them, so fetch the file again"
        )


DATASET = Molecule3D
