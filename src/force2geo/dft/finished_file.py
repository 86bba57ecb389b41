"""Structures of a user's file and their finishing: what DFT begins with, and what is told of it."""

from __future__ import annotations

import csv
import re
from typing import TYPE_CHECKING, Any

from force2geo.dft.points import Molecule
from force2geo.files import reading, write_table
from force2geo.relax.bonds import what_became_of_bonds
from force2geo.relax.structure_file import FINISHED

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np

    from force2geo.dft.finish import Finished
    from force2geo.relax.relaxation import Relaxation
    from force2geo.relax.structures import Structure

NOT_FINISHED = "not finished"
_CID = ("cid", "pubchem_compound_cid")
_OTHERS = 900_000_000
"""Added to the place of a molecule without CID, so that it is taken for none of PubChem's."""
_FINISHABLE = ("converged", "unsure", "step limit")


def why_not(run: Relaxation) -> str:
    """Return why a relaxation is no start for DFT, nothing if it is."""
    if run.status in _FINISHABLE:
        return ""
    reason = f" ({run.reason})" if run.reason else ""
    return f"the relaxation ended as {run.status}{reason}"


def molecule_of(structure: Structure, run: Relaxation) -> Molecule:
    """Return a relaxed structure as what is to be finished, with what is known of it."""
    named = {name.lower(): str(value).strip() for name, value in structure.properties.items()}
    cid = next((named[name] for name in _CID if re.fullmatch(r"\d{1,9}", named.get(name, ""))), "")
    smiles, inchi = _identifiers(structure.kept)
    return Molecule(
        structure.numbers,
        run.frames[-1],
        run.charge,
        run.multiplicity,
        structure.fixed,
        f"{int(cid or _OTHERS + structure.place):09d}",
        smiles,
        inchi,
    )


def _identifiers(kept: Any) -> tuple[str, str]:
    """Return SMILES and InChI of an RDKit molecule, empty texts of what knows no bonds."""
    from rdkit import Chem, rdBase

    if not isinstance(kept, Chem.Mol) or not kept.GetNumBonds():
        return "", ""
    _silence = rdBase.BlockLogs()
    try:
        bare = Chem.RemoveHs(Chem.Mol(kept))
        return Chem.MolToSmiles(bare), Chem.MolToInchi(bare)
    except Exception:  # of a structure no valence model knows
        return "", ""


def told(end: Finished, structure: Structure, before: np.ndarray) -> dict[str, Any]:
    """Return the properties of a finished structure; `before` (n,3) Å is the input's geometry.

    One that has become another molecule on the way says so in place of `minimum`.
    """
    changed = what_became_of_bonds(structure.numbers, before, end.positions, structure.bonds)
    status = changed or (f"{end.status}: {end.reason}" if end.reason else end.status)
    values = end.energy, end.max_force, end.gradients, status, end.lowest_curvature
    return dict(zip(FINISHED, values, strict=True))


def write_summary(
    path: Path,
    structures: Sequence[Structure],
    notes: Sequence[dict[str, Any]],
    files: Sequence[str],
) -> None:
    """Write the table beside the structures: place, name, properties and points of each."""
    columns = ("molecule", "name", *FINISHED, "points")
    rows = (
        {"molecule": one.place, "name": one.name, **note, "points": file}
        for one, note, file in zip(structures, notes, files, strict=True)
    )
    write_table(path, columns, rows)


def list_points(path: Path, molecules: Sequence[Molecule], files: Sequence[str]) -> None:
    """Write or extend the table `cid,file,smiles,inchi` by which `export-logs` takes points."""
    columns = ("cid", "file", "smiles", "inchi")
    rows: dict[str, dict[str, Any]] = {}
    if path.exists():
        with reading(path, f"a table {','.join(columns)}"), path.open(newline="") as handle:
            rows = {row["file"]: row for row in csv.DictReader(handle)}
    for one, file in zip(molecules, files, strict=True):
        if file:
            name = file.removesuffix(".npz")
            values = one.cid, name, one.smiles, one.inchi
            rows[name] = dict(zip(columns, values, strict=True))
    if rows:
        write_table(path, columns, rows.values())
