"""Structures in the files of users: SDF, XYZ and extended XYZ in and out, SMILES in."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from force2geo.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    Notes = Sequence[dict[str, Any]]

SUFFIXES_IN, SUFFIXES_OUT = (".sdf", ".xyz", ".extxyz", ".smi"), (".sdf", ".xyz", ".extxyz")


@dataclass
class Structure:
    """A molecule of a file: `place` in it (from 1), elements (n,), positions (n,3) Å.

    `kept` is the RDKit molecule (SDF, SMILES) or ASE atoms it came as, with all its properties.
    """

    place: int
    numbers: np.ndarray
    positions: np.ndarray
    kept: Any


def read_structures(path: Path, seed: int = 7) -> tuple[list[Structure], list[tuple[int, str]]]:
    """Return the structures of a file, in order, and place and reason of those it has in vain."""
    if not path.exists():
        raise UserError(f"{path}: no such file")
    readers = {".sdf": _read_sdf, ".smi": _read_smiles, ".xyz": _read_xyz, ".extxyz": _read_xyz}
    if path.suffix not in readers:
        raise UserError(f"{path}: give one of {', '.join(SUFFIXES_IN)}")
    from rdkit import rdBase

    _silence = rdBase.BlockLogs()  # the reasons here say it
    structures: list[Structure] = []
    lost: list[tuple[int, str]] = []
    for place, found in enumerate(readers[path.suffix](path, seed), start=1):
        if isinstance(found, str):
            lost.append((place, found))
        else:
            structures.append(Structure(place, *found))
    return structures, lost


def _read_sdf(path: Path, _: int) -> Iterator[Any]:
    from rdkit import Chem

    for molecule in Chem.SDMolSupplier(str(path), sanitize=False, removeHs=False):
        if molecule is None:
            yield "not a readable SDF record"
            continue
        molecule.UpdatePropertyCache(strict=False)
        if not molecule.GetNumConformers():
            yield "no coordinates"
        elif any(atom.GetNumImplicitHs() for atom in molecule.GetAtoms()):
            yield "hydrogens are missing: add them with their coordinates first"
        elif not molecule.GetConformer().Is3D():
            yield "a drawing in two dimensions, not a structure: give SMILES instead"
        else:
            yield _of_rdkit(molecule)


def _read_smiles(path: Path, seed: int) -> Iterator[Any]:
    from rdkit import Chem
    from rdkit.Chem import AllChem

    for line in path.read_text(encoding="utf-8").splitlines():
        words = line.split(maxsplit=1)
        if not words or words[0].startswith("#"):
            continue
        molecule = Chem.MolFromSmiles(words[0])
        if molecule is None:
            yield f"'{words[0]}' is not a SMILES"
            continue
        molecule = Chem.AddHs(molecule)
        if AllChem.EmbedMolecule(molecule, randomSeed=seed) != 0:
            yield f"no conformer of '{words[0]}' could be made"
            continue
        AllChem.MMFFOptimizeMolecule(molecule)
        molecule.SetProp("_Name", words[1] if len(words) > 1 else words[0])
        yield _of_rdkit(molecule)


def _of_rdkit(molecule: Any) -> tuple[np.ndarray, np.ndarray, Any]:
    numbers = np.array([atom.GetAtomicNum() for atom in molecule.GetAtoms()])
    return numbers, np.array(molecule.GetConformer().GetPositions()), molecule


def _read_xyz(path: Path, _: int) -> Iterator[Any]:
    from ase.io.extxyz import read_xyz

    lines = path.read_text(encoding="utf-8").splitlines()
    start = 0
    while start < len(lines) and lines[start].strip():
        try:
            count = int(lines[start])
        except ValueError:
            raise UserError(f"{path}, line {start + 1}: not a number of atoms") from None
        frame, comment = lines[start : start + 2 + count], lines[start + 1 : start + 2]
        start += 2 + count
        name = comment[0].strip() if comment and "=" not in comment[0] else ""
        if name:
            frame = [frame[0], "", *frame[2:]]
        try:
            text = io.StringIO("\n".join(frame) + "\n")
            (atoms,) = read_xyz(text, index=slice(None))
        except Exception as error:
            yield f"not a readable XYZ frame ({error})"
            continue
        if name:
            atoms.info["name"] = name
        atoms.calc = None  # energies of another level of theory
        yield atoms.numbers, atoms.positions, atoms


def write_structures(
    path: Path, suffix: str, structures: Sequence[Structure], notes: Notes
) -> None:
    """Write structures where they are now, each with its notes as properties.

    `suffix` is of the name that the file will have.
    """
    (_write_sdf if suffix == ".sdf" else _write_xyz)(path, structures, notes)


def _write_sdf(
    path: Path, structures: Sequence[Structure], notes: Sequence[dict[str, Any]]
) -> None:
    from rdkit import Chem
    from rdkit.Geometry import Point3D

    with Chem.SDWriter(str(path)) as writer:
        writer.SetKekulize(False)
        for structure, note in zip(structures, notes, strict=True):
            molecule = _as_rdkit(structure)
            conformer = molecule.GetConformer()
            for index, place in enumerate(structure.positions):
                conformer.SetAtomPosition(index, Point3D(*(float(value) for value in place)))
            for key, value in note.items():
                molecule.SetProp(key, str(value))
            writer.write(molecule)


def _as_rdkit(structure: Structure) -> Any:
    from rdkit import Chem

    if isinstance(structure.kept, Chem.Mol):
        return Chem.Mol(structure.kept)
    molecule = Chem.RWMol()
    for number in structure.numbers:
        molecule.AddAtom(Chem.Atom(int(number)))
        molecule.GetAtomWithIdx(molecule.GetNumAtoms() - 1).SetNoImplicit(True)
    molecule.AddConformer(Chem.Conformer(len(structure.numbers)))
    molecule.GetConformer().Set3D(True)
    for key, value in structure.kept.info.items():
        molecule.SetProp("_Name" if key == "name" else str(key), str(value))
    return molecule


def _write_xyz(
    path: Path, structures: Sequence[Structure], notes: Sequence[dict[str, Any]]
) -> None:
    from ase import Atoms
    from ase.io import write

    frames = []
    for structure, note in zip(structures, notes, strict=True):
        if isinstance(structure.kept, Atoms):
            atoms = structure.kept.copy()
        else:
            atoms = Atoms(structure.numbers)
            held = structure.kept.GetPropsAsDict()
            atoms.info = {"name": structure.kept.GetProp("_Name")} | held
        atoms.positions = structure.positions
        atoms.info |= note
        frames.append(atoms)
    write(str(path), frames, format="extxyz")
