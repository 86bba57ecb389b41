"""PCQM4Mv2 of OGB-LSC: molecules of PubChemQC at their B3LYP minima, with their gaps."""

from __future__ import annotations

import csv
import gzip
import io
import tarfile
import zipfile
from collections import Counter
from dataclasses import dataclass
from itertools import zip_longest
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
_COUNTS = {"train": 3_378_606, "valid": 73_545, "test-dev": 147_037, "test-challenge": 147_432}


@dataclass(frozen=True)
class PCQM4Mv2Settings:
    """Which of the molecules that have a structure, and how many of them are held out.

    Those of the published validation and test parts have none, so that parts are drawn here.
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


class PCQM4Mv2(DataSet):
    """The published training molecules, which alone have a geometry; names tell their rows."""

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
        training = self._training()
        wanted = np.zeros(len(training), dtype=bool)
        wanted[np.concatenate(list(self._drawn().values()))] = True
        path = self.folder() / _STRUCTURES.path
        pairs = zip_longest(self._records(), self._rows(training))
        for place, (record, row) in enumerate(pairs):
            if record is None or row is None:
                found = f"only {place}" if record is None else "more"
                told = f"{len(training)} molecules are published"
                raise UserError(f"{path}: has {found}, {told}; fetch it again")
            if not wanted[place]:
                continue
            molecule = _molecule(record, *row)
            if isinstance(molecule, Molecule):
                yield molecule
            else:
                self._reasons[molecule] += 1
                self._lost.add(place)
        for reason, count in self._reasons.most_common():
            self.notes.append(f"{count} molecules left out: {reason}")

    def splits(self) -> dict[str, dict[str, list[str]]]:
        """Return the parts drawn, without molecules that could not be read."""
        training = self._training()
        return {
            "random": {
                part: [_name(training[place]) for place in places if place not in self._lost]
                for part, places in self._drawn().items()
            }
        }

    def _drawn(self) -> dict[str, np.ndarray]:
        """Return the places of each part's molecules among those with a structure, ascending."""
        order = np.random.default_rng(self.seed).permutation(_COUNTS["train"])
        held = np.cumsum([self.settings.validation, self.settings.test])
        val, test, train = np.split(order[: self.settings.sample], held)
        return {"train": np.sort(train), "val": np.sort(val), "test": np.sort(test)}

    def _training(self) -> np.ndarray:
        """Return the rows of the molecules that have a structure, ascending."""
        path = self.folder() / _ARCHIVE.path
        with reading(path, f"OGB's archive, zip with {_SPLIT}"), zipfile.ZipFile(path) as archive:
            content = archive.read(_SPLIT)
        split = _load(content)
        if split is None:
            note = f"{_SPLIT} could not be read without running code of it: the first rows count"
            if note not in self.notes:
                self.notes.append(note)
            return np.arange(_COUNTS["train"])
        for part, count in _COUNTS.items():
            found = len(split.get(part, ()))
            if found != count:
                raise UserError(f"{path}: {found} molecules in {part}, published are {count}")
        return np.sort(np.asarray(split["train"], dtype=np.int64))

    def _rows(self, training: np.ndarray) -> Iterator[tuple[int, str, str]]:
        """Yield row, SMILES and gap, as texts, of the rows of molecules that have a structure."""
        path, count, place = self.folder() / _ARCHIVE.path, 0, 0
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
                if place < len(training) and training[place] == count:
                    yield count, smiles, gap
                    place += 1
                count += 1
        if count != sum(_COUNTS.values()):
            told = sum(_COUNTS.values())
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


def _molecule(record: bytes, row: int, smiles: str, gap: str) -> Molecule | str:
    """Return a molecule of its structure and its row, or why it is left out."""
    read = parse(record)
    if isinstance(read, str):
        return read
    try:
        value = float(gap)
    except ValueError:
        return "its gap is no number"
    if not np.isfinite(value):
        return "its gap is no number"
    graph = parse_smiles(smiles)
    if graph is None:
        return "RDKit cannot read its SMILES"
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


def _name(row: Any) -> str:
    return f"pcqm4mv2-{row}"


DATASET = PCQM4Mv2
