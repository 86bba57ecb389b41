"""Lists of molecules that users bring: CSV with SMILES or InChI, or one SMILES a line."""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from force2geo.errors import UserError
from force2geo.files import reading

if TYPE_CHECKING:
    from pathlib import Path

OWN_CIDS = range(500_000_000, 990_000_000)
"""Numbers of molecules without a PubChem CID, above all that PubChem has given out."""


@dataclass(frozen=True)
class Molecule:
    """A molecule by nine-digit CID, SMILES and InChI (one of them may be empty)."""

    cid: str
    smiles: str
    inchi: str


def read_molecules(path: Path) -> list[Molecule]:
    """Return the molecules of a file.

    `.smi` files have one SMILES a line; any other is CSV with a column `smiles` or `inchi` and
    perhaps `cid`. A molecule without a CID gets a number that follows from its InChIKey, so that
    it is the same in every list. `UserError` names the line of a molecule without SMILES and
    InChI or with a CID twice.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from None
    if path.suffix == ".smi":
        rows = [{"smiles": line.split()[0]} for line in lines if line.strip()]
    else:
        reader = csv.DictReader(lines)
        with reading(path, "a list of molecules, CSV"):
            columns, rows = reader.fieldnames or (), list(reader)
        if not {"smiles", "inchi"} & set(columns):
            raise UserError(f"{path}: needs a column 'smiles' or 'inchi'")
    molecules: dict[int, Molecule] = {}
    unnumbered: list[tuple[str, str, int]] = []
    given: set[str] = set()
    for number, row in enumerate(rows):
        smiles, inchi = row.get("smiles") or "", row.get("inchi") or ""
        cid = row.get("cid") or ""
        if not (smiles or inchi):
            raise UserError(f"{path}, molecule {number + 1}: neither SMILES nor InChI")
        if cid and (not cid.isdigit() or len(cid) > 9):
            raise UserError(f"{path}, molecule {number + 1}: '{cid}' is not a CID")
        cid = cid and cid.zfill(9)
        if cid in given:
            raise UserError(f"{path}, molecule {number + 1}: CID {cid} stands there twice")
        if cid:
            given.add(cid)
        else:
            unnumbered.append((inchi_key(smiles, inchi), smiles or inchi, number))
        molecules[number] = Molecule(cid, smiles, inchi)
    # Of one InChIKey (tautomers, repeats) the later ones take the next numbers; sorted, so that
    # the order in the list is of no account.
    for key, _, number in sorted(unnumbered):
        cid = _own_cid(key, given)
        given.add(cid)
        molecules[number] = replace(molecules[number], cid=cid)
    return list(molecules.values())


def inchi_key(smiles: str, inchi: str) -> str:
    """Return a molecule's InChIKey, or its text itself where RDKit cannot read it."""
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():
        molecule = None if inchi else Chem.MolFromSmiles(smiles)
        key = Chem.InchiToInchiKey(inchi) if inchi else molecule and Chem.MolToInchiKey(molecule)
    return key or inchi or smiles


def _own_cid(key: str, given: set[str]) -> str:
    place = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") % len(OWN_CIDS)
    while (cid := f"{OWN_CIDS[place]:09d}") in given:
        place = (place + 1) % len(OWN_CIDS)
    return cid
