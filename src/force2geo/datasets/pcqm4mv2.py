"""PCQM4Mv2 of OGB-LSC: molecules of PubChemQC at their B3LYP minima, with their gaps."""

from __future__ import annotations

import csv
import gzip
import io
import tarfile
import zipfile
from collections import Counter
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, cast

import numpy as np

from force2geo.errors import UserError
from force2geo.files import reading
from force2geo.settings import setting
from force2geo.training_data.dataset import About, DataSet, File, Molecule
from force2geo.training_data.embed import parse as parse_smiles
from force2geo.training_data.sdf import parse, records

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

_ARCHIVE = File("pcqm4m-v2.zip", md5="65b742bafca5670be4497499db7d361b")
_STRUCTURES = File("pcqm4m-v2-train.sdf.tar.gz", md5="fd72bce606e7ddf36c2a832badeec6ab")
_TABLE = "pcqm4m-v2/raw/data.csv.gz"
_SPLIT = "pcqm4m-v2/split_dict.pt"
# Molecules of the published parts. Structures are there of `train` alone, and no gaps of the tests.
_TRAIN, _VALID = 0, 1
_COUNTS = {"train": 3_378_606, "valid": 73_545, "test-dev": 147_037, "test-challenge": 147_432}


@dataclass(frozen=True)
class PCQM4Mv2Settings:
    """Which of the molecules that have a structure, and how many of them are held out.

    Those of the published validation and test parts have none, so that parts are drawn here; the
    published validation molecules can be had beside, as SMILES with gaps.
    """

    folder: str = setting(f"folder of {_ARCHIVE.path} and {_STRUCTURES.path}, as downloaded")
    sample: int | None = setting(
        "molecules, drawn by the run's seed, null for all; a smaller sample has the same held out",
        None,
        unit="molecules",
        least=3,
    )
    validation: int = setting("of them, to validate on", 10_000, unit="molecules", least=1)
    test: int = setting("of them, to test on", 10_000, unit="molecules", least=1)
    published_validation: bool = setting(
        "reads the published validation molecules, too, which have no structure; they validate in "
        "the split `published`",
        False,
    )


class PCQM4Mv2(DataSet):
    """The published training molecules, which alone have a geometry; names tell their rows.

    A molecule without one has its atoms in the order of its SMILES, hydrogens behind.
    """

    Settings = PCQM4Mv2Settings
    kinds = ("molecules",)
    units = {"gap": "eV"}
    about = About(
        "PCQM4Mv2",
        "B3LYP/6-31G*",
        "W. Hu et al., arXiv:2103.09430; M. Nakata, T. Shimazaki, J. Chem. Inf. Model. 57 (2017) "
        "1300",
        "CC-BY-4.0",
        "ogb-data.stanford.edu/data/lsc (pcqm4m-v2.zip, pcqm4m-v2-train.sdf.tar.gz)",
    )

    def __init__(self, settings: PCQM4Mv2Settings, paths: dict[str, Path] | None = None) -> None:
        super().__init__(settings, paths)
        size = settings.sample or _COUNTS["train"]
        if settings.validation + settings.test >= size:
            raise UserError(f"data set pcqm4mv2: of {size} molecules none is left to train on")
        self._reasons: Counter[str] = Counter()
        self._lost: set[int] = set()

    def files(self) -> list[File]:
        """Return the two archives, which are read as they are."""
        return [_ARCHIVE, _STRUCTURES]

    def molecules(self) -> Iterator[Molecule]:
        """Yield the chosen molecules in the order of their rows."""
        part, wanted = self._published()
        structures = part == _TRAIN
        path, records_ = self.folder() / _STRUCTURES.path, self._records()
        told = f"{_COUNTS['train']} molecules are published; fetch it again"
        for row, smiles, gap in self._rows():
            record = next(records_, None) if structures[row] else None
            if structures[row] and record is None:
                raise UserError(f"{path}: has only {structures[:row].sum()}, {told}")
            if not wanted[row]:
                continue
            molecule = _molecule(record, row, smiles, gap)
            if isinstance(molecule, Molecule):
                yield molecule
            else:
                self._reasons[molecule] += 1
                self._lost.add(row)
        if next(records_, None) is not None:
            raise UserError(f"{path}: has more, {told}")
        for reason, count in self._reasons.most_common():
            self.notes.append(f"{count} molecules left out: {reason}")

    def splits(self) -> dict[str, dict[str, list[str]]]:
        """Return the parts drawn, and the published ones, without molecules that were left out."""
        part, wanted = self._published()
        splits = {"random": self._drawn(np.flatnonzero(part == _TRAIN))}
        if self.settings.published_validation:
            read = {"train": _TRAIN, "val": _VALID}
            parts = {name: np.flatnonzero(wanted & (part == one)) for name, one in read.items()}
            splits["published"] = parts | {"test": np.array([], dtype=np.int64)}
        return {
            name: {
                own: [_name(row) for row in rows if row not in self._lost]
                for own, rows in parts.items()
            }
            for name, parts in splits.items()
        }

    def _drawn(self, structures: np.ndarray) -> dict[str, np.ndarray]:
        """Return each part's rows, ascending, of those with a structure."""
        order = np.random.default_rng(self.seed).permutation(structures)
        held = np.cumsum([self.settings.validation, self.settings.test])
        val, test, train = np.split(order[: self.settings.sample], held)
        return {"train": np.sort(train), "val": np.sort(val), "test": np.sort(test)}

    def _published(self) -> tuple[np.ndarray, np.ndarray]:
        """Return for each row the place of its part in `_COUNTS`, and whether it is read."""
        path = self.folder() / _ARCHIVE.path
        with reading(path, f"OGB's archive, zip with {_SPLIT}"), zipfile.ZipFile(path) as archive:
            split = _load(archive.read(_SPLIT))
        if split is None:
            note = f"{_SPLIT} could not be read without running code of it: rows lie as published"
            if note not in self.notes:
                self.notes.append(note)
            ends = np.cumsum([0, *_COUNTS.values()])
            split = {part: np.arange(*ends[n : n + 2]) for n, part in enumerate(_COUNTS)}
        part_of = np.full(sum(_COUNTS.values()), len(_COUNTS))
        for place, (part, count) in enumerate(_COUNTS.items()):
            rows = np.asarray(split.get(part, ()), dtype=np.int64)
            if len(rows) != count:
                raise UserError(f"{path}: {len(rows)} molecules in {part}, published are {count}")
            part_of[rows] = place
        wanted = self.settings.published_validation & (part_of == _VALID)
        wanted[np.concatenate(list(self._drawn(np.flatnonzero(part_of == _TRAIN)).values()))] = True
        return part_of, wanted

    def _rows(self) -> Iterator[tuple[int, str, str]]:
        """Yield row, SMILES and gap, the last two as texts."""
        path, count = self.folder() / _ARCHIVE.path, 0
        told = sum(_COUNTS.values())
        asked = ("idx", "smiles", "homolumogap")
        with (
            reading(path, f"OGB's archive, zip with {_TABLE}, a table of {', '.join(asked)}"),
            zipfile.ZipFile(path) as archive,
            archive.open(_TABLE) as packed,
            gzip.open(packed) as unpacked,
            io.TextIOWrapper(cast("IO[bytes]", unpacked), encoding="utf-8", newline="") as file,
        ):
            lines = csv.reader(file)
            header = next(lines, [])
            places = [header.index(column) for column in asked]
            for line in lines:
                row, smiles, gap = (line[at] if at < len(line) else "" for at in places)
                if row != str(count):
                    raise ValueError(f"row {count} has the index '{row}'")
                if count < told:
                    yield count, smiles, gap
                count += 1
        if count != told:
            raise UserError(f"{path}: {count} molecules in {_TABLE}, published are {told}")

    def _records(self) -> Iterator[bytes]:
        """Yield the structures' records out of the archive, which is read as a stream."""
        path = self.folder() / _STRUCTURES.path
        with reading(path, "OGB's structures, tar.gz of an SDF"):
            try:
                with tarfile.open(path, "r|gz") as archive:
                    for member in archive:
                        file = archive.extractfile(member) if member.name.endswith(".sdf") else None
                        if file is not None:
                            yield from records(cast("Any", file))
            except tarfile.TarError as error:
                raise ValueError(str(error)) from None


def _load(content: bytes) -> dict[str, Any] | None:
    """Return the split that `torch.save` wrote, arrays by part; None where it asks for code."""
    import pickle

    import torch

    # As numpy's arrays are pickled, by both names that its room has had.
    reconstruct = getattr(np, "_core", None) or np.core
    allowed: list[Any] = [
        (reconstruct.multiarray._reconstruct, f"numpy.{room}.multiarray._reconstruct")
        for room in ("core", "_core")
    ]
    allowed += [np.ndarray, np.dtype, type(np.dtype(np.int64)), type(np.dtype(np.int32))]
    try:
        with torch.serialization.safe_globals(allowed):
            found = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _molecule(record: bytes | None, row: int, smiles: str, gap: str) -> Molecule | str:
    """Return a molecule of its structure, if it has one, and its row, or why it is left out."""
    try:
        value = float(gap)
    except ValueError:
        return "its gap is no number"
    if not np.isfinite(value):
        return "its gap is no number"
    graph = parse_smiles(smiles)
    if graph is None:
        return "RDKit cannot read its SMILES"
    if record is None:
        return _unrelaxed(_name(row), graph, value, smiles)
    read = parse(record)
    if isinstance(read, str):
        return read
    heavy = sorted(atom.GetAtomicNum() for atom in graph.GetAtoms() if atom.GetAtomicNum() > 1)
    if heavy != sorted(number for number in read.numbers.tolist() if number > 1):
        return "its structure has other atoms than its SMILES"
    return Molecule(
        _name(row),
        read.numbers,
        {"dft": read.positions},
        {"gap": value},
        smiles,
        charge=read.charge,
        multiplicity=read.multiplicity,
    )


def _unrelaxed(name: str, graph: Any, gap: float, smiles: str) -> Molecule:
    """Return a molecule of its SMILES alone."""
    from rdkit import Chem

    atoms = Chem.AddHs(graph).GetAtoms()
    return Molecule(
        name,
        np.array([atom.GetAtomicNum() for atom in atoms], dtype=np.uint8),
        {},
        {"gap": gap},
        smiles,
        charge=Chem.GetFormalCharge(graph),
        multiplicity=1 + sum(atom.GetNumRadicalElectrons() for atom in atoms),
    )


def _name(row: Any) -> str:
    return f"pcqm4mv2-{row}"


DATASET = PCQM4Mv2
