"""SDF in and out."""

from __future__ import annotations

import io
import json
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from force2geo.errors import UserError
from force2geo.relax.structures import Structure, decoded

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

_COVALENT = ("SINGLE", "DOUBLE", "TRIPLE", "QUADRUPLE", "AROMATIC")


def records(lines: Iterable[bytes]) -> Iterator[str]:
    """Give the records of an SDF's lines; blank ones at its end are none."""
    record: list[bytes] = []
    for line in lines:
        record.append(line)
        if line.startswith(b"$$$$"):
            yield decoded(b"".join(record))
            record = []
    if text := decoded(b"".join(record)).rstrip():
        yield text + "\n"


def read(found: Iterable[str]) -> Iterator[Structure | str]:
    """Give the structures of an SDF's records, or why one is none."""
    from rdkit import Chem

    for text in found:
        data = io.BytesIO(text.encode())
        molecule = next(Chem.ForwardSDMolSupplier(data, sanitize=False, removeHs=False), None)
        if molecule is None:
            yield "not a readable SDF record"
            continue
        molecule.UpdatePropertyCache(strict=False)
        if not molecule.GetNumConformers():
            yield "no coordinates"
        elif any(atom.GetNumImplicitHs() for atom in molecule.GetAtoms()):
            yield "hydrogens are missing: add them with their coordinates first"
        elif not molecule.GetConformer().Is3D() and molecule.GetNumAtoms() > 1:
            yield "a drawing in two dimensions, not a structure: give SMILES instead"
        else:
            for atom in molecule.GetAtoms():
                # Found from the coordinates, on CH3, too: written, it would be a parity.
                if atom.HasProp("_NonExplicit3DChirality"):
                    atom.SetChiralTag(Chem.ChiralType.CHI_UNSPECIFIED)
            yield of_rdkit(molecule)


def of_rdkit(molecule: Any) -> Structure | str:
    """Return an RDKit molecule with a conformer as a structure, or why its state is unclear.

    Formal charges add up, unpaired electrons are parallel; the properties `charge` and
    `multiplicity` (or `spin`, which is the multiplicity, too) may say it instead.
    """
    from ase import Atoms

    from force2geo.molecular_state import molecular_state

    atoms = list(molecule.GetAtoms())
    numbers = np.array([atom.GetAtomicNum() for atom in atoms], dtype=int)
    info = {name.lower(): molecule.GetProp(name) for name in molecule.GetPropNames()}
    try:
        charge, multiplicity = molecular_state(
            Atoms(
                numbers,
                charges=[atom.GetFormalCharge() for atom in atoms],
                magmoms=[atom.GetNumRadicalElectrons() for atom in atoms],
                info={name: value for name, value in info.items() if value.strip()},
            )
        )
    except UserError as error:
        return str(error)
    bonds = [
        (bond.GetBeginAtomIdx(), bond.GetEndAtomIdx())
        for bond in molecule.GetBonds()
        if bond.GetBondType().name in _COVALENT
    ]
    positions = np.array(molecule.GetConformer().GetPositions())
    known = np.array(bonds) if bonds else None
    return Structure(0, numbers, positions, molecule, charge, multiplicity, known)


def write(path: Path, structures: Sequence[Structure], notes: Sequence[dict[str, Any]]) -> None:
    """Write structures where they are now, each with its notes as properties."""
    from rdkit import Chem

    with Chem.SDWriter(str(path)) as writer:
        writer.SetKekulize(False)
        writer.SetForceV3000(any(len(one.numbers) > 999 for one in structures))
        for structure, note in zip(structures, notes, strict=True):
            writer.write(record(structure, note))


def record(structure: Structure, note: dict[str, Any]) -> Any:
    """Return the RDKit molecule of a structure where it is now, with its notes as properties."""
    from rdkit.Geometry import Point3D

    molecule = _as_rdkit(structure)
    conformer = molecule.GetConformer()
    for index, place in enumerate(structure.positions):
        conformer.SetAtomPosition(index, Point3D(*(float(value) for value in place)))
    for key, value in note.items():
        molecule.SetProp(key, plain(value))
    return molecule


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
    molecule.SetProp("_Name", " ".join(structure.name.split()))
    # SDF has no columns of atoms: lists in JSON.
    columns = {key: value for key, value in structure.kept.arrays.items()
               if key not in ("numbers", "positions")}  # fmt: skip
    if structure.fixed is not None:
        columns["move_mask"] = ~structure.fixed
    for key, value in {**structure.properties, **columns}.items():
        molecule.SetProp(re.sub(r"[<>\s]+", "_", key), plain(value))
    return molecule


def plain(value: Any) -> str:
    """Return a property's text: an empty line, or `$$$$`, would end the property or the record."""
    if isinstance(value, np.ndarray):
        value = json.dumps(value.tolist())
    lines = [line for line in str(value).splitlines() if line.strip()]
    return "\n".join(" " + line if line.startswith(("$$$$", ">")) else line for line in lines)
