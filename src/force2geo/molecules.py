"""Lists of molecules that users bring: CSV with SMILES or InChI, or one SMILES a line."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING

from force2geo.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

FIRST_OWN_CID = 990_000_001
"""Molecules without a PubChem CID are numbered from here, above all that PubChem has given out."""


@dataclass(frozen=True)
class Molecule:
    """A molecule by nine-digit CID, SMILES and InChI (one of them may be empty)."""

    cid: str
    smiles: str
    inchi: str


def read_molecules(path: Path) -> list[Molecule]:
    """Return the molecules of a file.

    `.smi` files have one SMILES a line; any other is CSV with a column `smiles` or `inchi` and
    perhaps `cid`. `UserError` names the line of a molecule without either or with a CID twice.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from None
    if path.suffix == ".smi":
        rows = [{"smiles": line.split()[0]} for line in lines if line.strip()]
    else:
        reader = csv.DictReader(lines)
        if not {"smiles", "inchi"} & set(reader.fieldnames or ()):
            raise UserError(f"{path}: needs a column 'smiles' or 'inchi'")
        rows = list(reader)
    molecules: dict[str, Molecule] = {}
    for number, row in enumerate(rows):
        smiles, inchi = row.get("smiles") or "", row.get("inchi") or ""
        cid = (row.get("cid") or str(FIRST_OWN_CID + number)).zfill(9)
        if not (smiles or inchi):
            raise UserError(f"{path}, molecule {number + 1}: neither SMILES nor InChI")
        if not cid.isdigit() or len(cid) > 9:
            raise UserError(f"{path}, molecule {number + 1}: '{cid}' is not a CID")
        if cid in molecules:
            raise UserError(f"{path}, molecule {number + 1}: CID {cid} stands there twice")
        molecules[cid] = Molecule(cid, smiles, inchi)
    return list(molecules.values())
