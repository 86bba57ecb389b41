"""∇²DFT: conformations of drug-like molecules (MOSES), energies and forces, orbital energies."""

from __future__ import annotations

import csv
import gzip
import json
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from force2geo.errors import UserError
from force2geo.files import reading
from force2geo.settings import setting
from force2geo.training_data.dataset import About, DataSet, File, Frames, Molecule
from force2geo.units import HARTREE_TO_EV

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Published databases, with the ETags that their list gives.
_TRAIN = {
    "full": (
        "train_full_v2_formation_energy_w_forces_wo_outliers.db",
        "4db277ca0f8b6901faa5ba826add2c94-4699",
    ),
    "large": (
        "train_100k_v2_formation_energy_w_forces.db",
        "2f8c2fc98bee9274c5002f304f22cf29-274",
    ),
    "medium": (
        "train_10k_v2_formation_energy_w_forces.db",
        "f170b71652bef017f620c2161ff190f5-27",
    ),
    "small": (
        "train_5k_v2_formation_energy_w_forces.db",
        "d42733ea091f0b3069145da2a7fd790e-16",
    ),
    "tiny": (
        "train_2k_v2_formation_energy_w_forces.db",
        "1b01555922f5ca11231bc8ab7d687ae7-7",
    ),
}
_TEST = {
    "structures": (
        "test_full_structures_v2_formation_energy_forces.db",
        "41201314c183ac8662a8eafd38766755-629",
    ),
    "scaffolds": (
        "test_full_scaffolds_v2_formation_energy_forces.db",
        "ac6c9011539e6ea97e3212ace56dc384-617",
    ),
    "conformations": (
        "test_full_conformers_v2_formation_energy_w_forces_wo_outliers.db",
        "d94949a91fc6ae3781d92922ccfad078-835",
    ),
}
_SUMMARY = "summary.csv.gz"
# As the Force2Geo paper counts them, appendix E.
_COUNTS = {
    "large": {"molecules": 99_018, "conformations": 500_552},
    "structures": {"molecules": 176_001},
}
# Hartree, of the lone atoms that energies are relative to, as the databases' metadata give them.
_ATOMS = {
    1: -0.5024932583661139,
    6: -37.79809934247253,
    7: -54.522414832380626,
    8: -74.97667809850873,
    9: -99.61446950401614,
    15: -341.13941895023964,
    16: -397.9719278356063,
    17: -459.98864965660516,
    35: -2573.8571719614743,
    53: -297.7564286148722,
}
# Hartree, by which two files may print one energy differently.
_SAME = 1e-5
_COLUMNS = ("MOSES id", "CONFORMER id", "DFT HOMO", "DFT LUMO", "DFT FORMATION ENERGY")
_LINES = 50_000  # of the summary, read at once
_MOST_CONFORMATIONS = 100_000  # of a molecule; published are at most 62
# What a damaged row raises in the hands of JSON, numpy and ASE.
_UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, AssertionError, RuntimeError)


@dataclass(frozen=True)
class NablaDFTSettings:
    """Which of the published databases, and what of training is kept to validate on."""

    folder: str = setting(f"folder of the databases, and of {_SUMMARY} for orbital energies")
    train: Literal["full", "large", "medium", "small", "tiny"] = setting(
        "database to train on", "large"
    )
    test: Literal["structures", "scaffolds", "conformations"] | None = setting(
        "database to test on, null for none", "structures"
    )
    validation: float = setting(
        "share of the training molecules to validate on", 0.05, above=0, below=1
    )
    orbitals: bool = setting(
        f"homo, lumo and gap of molecules, from {_SUMMARY}; without it they have none", False
    )


class _Row(NamedTuple):
    """A conformation: numbers (n,), positions (n,3) Å, Hartree relative to atoms, Hartree/Å."""

    moses: int
    conformation: int
    smiles: str
    numbers: np.ndarray
    positions: np.ndarray
    energy: float
    forces: np.ndarray


class NablaDFT(DataSet):
    """The published training and test databases; validation is cut off by molecule.

    Energies are total ones: what the databases give is relative to lone atoms, whose energies are
    added. A molecule is a conformation here, named by its two numbers in MOSES.
    """

    Settings = NablaDFTSettings
    kinds = ("snapshots", "molecules")
    units = {"energy": "eV", "homo": "eV", "lumo": "eV", "gap": "eV"}
    extensive = ("energy",)
    about = About(
        "∇²DFT",
        "ωB97X-D/def2-SVP",
        "K. Khrabrov et al., arXiv:2406.14347; Phys. Chem. Chem. Phys. 24 (2022) 25853",
        "MIT",
        "github.com/AIRI-Institute/nablaDFT (links/energy_databases.json; README: summary file)",
    )

    def __init__(self, settings: NablaDFTSettings, paths: dict[str, Path] | None = None) -> None:
        super().__init__(settings, paths)
        self._left_out: dict[int, str] = {}
        self._nameless: Counter[str] = Counter()

    def _databases(self) -> dict[str, tuple[str, str]]:
        """Return the databases by the part that they are of."""
        found = {"train": _TRAIN[self.settings.train]}
        if self.settings.test is not None:
            found["test"] = _TEST[self.settings.test]
        return found

    def files(self) -> list[File]:
        """Return the databases and, where it is read, the summary."""
        listed = [File(path, md5=md5) for path, md5 in self._databases().values()]
        return listed + ([File(_SUMMARY)] if self.settings.orbitals else [])

    def snapshots(self) -> Iterator[Frames]:
        """Yield conformations, one by one."""
        for part, row in self._rows():
            yield Frames(
                str(row.moses),
                row.numbers,
                row.positions[None],
                np.array([_total(row) * HARTREE_TO_EV]),
                row.forces[None] * HARTREE_TO_EV,
                part,
                self.about.level,
            )
        self._tell()

    def molecules(self) -> Iterator[Molecule]:
        """Yield conformations as molecules, each with its energy and, if asked for, orbitals'."""
        orbitals = self._orbitals() if self.settings.orbitals else None
        for _, row in self._rows():
            targets = {"energy": _total(row) * HARTREE_TO_EV}
            key = _key(row.moses, row.conformation)
            if orbitals is not None:
                keys, values = orbitals
                homo, lumo, energy = values[np.searchsorted(keys, key)].tolist()
                if np.isnan(energy):
                    self._left_out[key] = f"no orbital energies in {_SUMMARY}"
                    continue
                if abs(energy - row.energy) > _SAME:
                    self._left_out[key] = f"another energy in {_SUMMARY}"
                    continue
                homo, lumo = homo * HARTREE_TO_EV, lumo * HARTREE_TO_EV
                targets |= {"homo": homo, "lumo": lumo, "gap": lumo - homo}
            yield Molecule(_name(key), row.numbers, {"dft": row.positions}, targets, row.smiles)
        self._tell()

    def splits(self) -> dict[str, dict[str, list[str]]]:
        """Return the one split, of conformations by molecule, without those left out so far."""
        parts: dict[str, list[str]] = {"train": [], "val": [], "test": []}
        for part, path, held in self._parts():
            for key in _keys(path).tolist():
                if key not in self._left_out:
                    own = "val" if key // _MOST_CONFORMATIONS in held else part
                    parts[own].append(_name(key))
        return {"published": parts}

    def _parts(self) -> Iterator[tuple[str, Path, set[int]]]:
        """Yield part, database and the molecules of it to validate on."""
        for part, (name, _) in self._databases().items():
            path = self.folder() / name
            held: set[int] = set()
            if part == "train":
                known = np.unique(_keys(path) // _MOST_CONFORMATIONS)
                count = max(1, round(self.settings.validation * len(known)))
                order = np.random.default_rng(self.seed).permutation(known)
                held = set(order[:count].tolist())
            yield part, path, held

    def _rows(self) -> Iterator[tuple[str, _Row]]:
        """Yield part and conformation; what cannot be read is counted."""
        for part, path, held in self._parts():
            for pairs, *columns in _select(path, "key_value_pairs, numbers, positions, data"):
                key = _key_of(pairs)
                if key is None:
                    self._nameless["neither moses_id nor conformation_id"] += 1
                    continue
                try:
                    row = _row(key, pairs, *columns)
                except _UNREADABLE as error:
                    row = f"cannot be read ({type(error).__name__})"
                if isinstance(row, str):
                    self._left_out[key] = row
                    continue
                yield ("val" if row.moses in held else part), row

    def _orbitals(self) -> tuple[np.ndarray, np.ndarray]:
        """Return keys (k,) of the databases' rows, ascending, and Hartree (k,3), NaN where unknown.

        Columns are HOMO, LUMO and the energy relative to lone atoms.
        """
        keys = np.unique(np.concatenate([_keys(path) for _, path, _ in self._parts()]))
        values = np.full((len(keys), 3), np.nan)
        path = self.folder() / _SUMMARY
        with (
            reading(path, f"∇²DFT's summary, gzip'd CSV with {', '.join(_COLUMNS)}"),
            gzip.open(path, "rt", newline="", encoding="utf-8") as file,
        ):
            lines = csv.reader(file)
            header = next(lines, [])
            places = [header.index(column) for column in _COLUMNS]
            while block := list(islice(lines, _LINES)):
                read = [row for line in block if (row := _numbers(line, places)) is not None]
                table = np.array(read).reshape(-1, len(_COLUMNS))
                found = _key(*table[:, :2].astype(np.int64).T)
                rows = np.minimum(np.searchsorted(keys, found), len(keys) - 1)
                known = keys[rows] == found
                values[rows[known]] = table[known, 2:]
        return keys, values

    def _tell(self) -> None:
        """Say what was left out, and where a database is not as large as published."""
        reasons = self._nameless + Counter(self._left_out.values())
        for reason, count in reasons.most_common():
            self.notes.append(f"{count} conformations left out: {reason}")
        asked = {"train": self.settings.train, "test": self.settings.test}
        for part, path, _ in self._parts():
            keys = _keys(path)
            counts = {
                "molecules": len(np.unique(keys // _MOST_CONFORMATIONS)),
                "conformations": len(keys),
            }
            for what, told in _COUNTS.get(asked[part] or "", {}).items():
                if counts[what] != told:
                    self.warnings.append(f"{path}: {counts[what]} {what}, published are {told}")


def _numbers(line: list[str], places: list[int]) -> list[float] | None:
    """Return a line's columns at `places`, None where one is no number."""
    try:
        return [float(line[place]) for place in places]
    except (ValueError, IndexError):
        return None


def _key(moses: Any, conformation: Any) -> Any:
    """Return one number that stands for a conformation; of integers or of arrays of them."""
    return moses * _MOST_CONFORMATIONS + conformation


def _name(key: int) -> str:
    return "{}_{}".format(*divmod(key, _MOST_CONFORMATIONS))


def _total(row: _Row) -> float:
    """Return the total energy in Hartree."""
    return row.energy + sum(_ATOMS[number] for number in row.numbers.tolist())


def _key_of(pairs: str) -> int | None:
    """Return the key of a row's key-value pairs, JSON; None where it has none."""
    try:
        known = json.loads(pairs)
        key: int = _key(int(known["moses_id"]), int(known["conformation_id"]))
    except _UNREADABLE:
        return None
    return key


def _keys(path: Path) -> np.ndarray:
    """Return the keys of a database's rows, in their order."""
    found = (_key_of(pairs) for (pairs,) in _select(path, "key_value_pairs"))
    return np.fromiter((key for key in found if key is not None), dtype=np.int64)


def _select(path: Path, columns: str) -> Iterator[Any]:
    """Yield columns of the rows of an ASE database, in order, memory flat."""
    if not path.exists():
        raise UserError(f"{path}: no such file")
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            yield from database.execute(f"SELECT {columns} FROM systems ORDER BY id")
    except sqlite3.DatabaseError as error:
        raise UserError(f"{path}: not an ASE database, SQLite ({error})") from None


def _row(key: int, pairs: str, numbers: bytes, positions: bytes, data: bytes) -> _Row | str:
    """Return a conformation, or why it is left out; raise one of `_UNREADABLE`."""
    from ase.db.core import bytes_to_object  # JSON and arrays: runs nothing

    values = bytes_to_object(data)
    atomic_numbers = np.frombuffer(numbers, "<i4")
    unknown = set(atomic_numbers.tolist()) - set(_ATOMS)
    if unknown:
        return f"the energy of the lone atom with number {min(unknown)} is not published"
    moses, conformation = divmod(key, _MOST_CONFORMATIONS)
    row = _Row(
        moses,
        conformation,
        str(json.loads(pairs).get("smiles", "")),
        atomic_numbers.astype(np.uint8),
        np.frombuffer(positions, "<f8").reshape(-1, 3),
        float(np.asarray(values["energy"], dtype=float).reshape(())),
        np.asarray(values["forces"], dtype=float).reshape(-1, 3),
    )
    if not 0 < len(row.numbers) == len(row.positions) == len(row.forces):
        return "positions or forces of another number of atoms"
    if not all(np.isfinite(one).all() for one in (row.energy, row.forces, row.positions)):
        return "energy, forces or positions are no numbers"
    return row


DATASET = NablaDFT
