"""SDF files of millions of molecules, record by record: memory stays flat, none is indexed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

_CHUNK = 1 << 22
_END = re.compile(rb"^\$\$\$\$[^\n]*\n", re.MULTILINE)


class Record(NamedTuple):
    """A molecule of n atoms: its title, atomic numbers (n,), positions (n,3) Å, state and SMILES.

    The SMILES is empty where the bonds lack hydrogens, so that it would be another molecule's.
    """

    title: str
    numbers: np.ndarray
    positions: np.ndarray
    smiles: str
    charge: int
    multiplicity: int


def records(file: BinaryIO) -> Iterator[bytes]:
    """Yield the records of an SDF, without the lines that end them."""
    left = b""
    while chunk := file.read(_CHUNK):
        *whole, left = _END.split(left + chunk)
        yield from whole
    left = left.removesuffix(b"$$$$")
    if left.strip():
        yield left


def parse(record: bytes) -> Record | str:
    """Return the molecule of a record, or why it is none."""
    from rdkit import Chem, rdBase

    text = record.decode("latin-1")
    with rdBase.BlockLogs():
        molecule = Chem.MolFromMolBlock(text, removeHs=False)
        if molecule is None or not molecule.GetNumAtoms():
            return "RDKit cannot read it"
        atoms = [
            (atom.GetAtomicNum(), atom.GetNumImplicitHs(), atom.GetNumRadicalElectrons())
            for atom in molecule.GetAtoms()
        ]
        numbers, lacking, unpaired = zip(*atoms, strict=True)
        smiles = "" if any(lacking) else Chem.MolToSmiles(Chem.RemoveHs(molecule))
    positions = molecule.GetConformer().GetPositions()
    if not np.isfinite(positions).all():
        return "positions are no numbers"
    if not all(numbers):
        return "an atom without an element"
    return Record(
        text.split("\n", 1)[0].strip(),
        np.array(numbers, dtype=np.uint8),
        positions,
        smiles,
        Chem.GetFormalCharge(molecule),
        1 + sum(unpaired),
    )
