"""Molecules that pretraining must not see, and those that it has seen.

Other data sets' test molecules are kept out of pretraining, or what pretraining has seen is kept
out of their tests (Force2Geo, appendix E).
"""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from force2geo.curation.identity import read_molecule
from force2geo.errors import UserError
from force2geo.files import reading

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    import pandas as pd

_COLUMNS = ("inchikey", "inchi", "smiles")


def key_of(row: dict[str, str]) -> str:
    """Return the InChIKey of a row with `inchikey`, `inchi` or `smiles`, empty for none."""
    from rdkit import Chem

    if row.get("inchikey"):
        return row["inchikey"]
    if row.get("inchi"):
        return str(Chem.InchiToInchiKey(row["inchi"]) or "")
    molecule = read_molecule(row.get("smiles") or "", "")
    return str(Chem.MolToInchiKey(molecule)) if molecule is not None else ""


def read_test_sets(paths: Sequence[Path]) -> frozenset[str]:
    """Return the skeletons (first blocks of InChIKeys) of the molecules in CSV files.

    Each file has a column `inchikey`, `inchi` or `smiles`. `UserError` names a file without one
    and a molecule that cannot be read: a test set that is only half kept out is not kept out.
    """
    skeletons = set()
    for path in paths:
        with (
            reading(path, "a table of molecules, CSV"),
            path.open(newline="", encoding="utf-8", errors="backslashreplace") as handle,
        ):
            reader = csv.DictReader(handle)
            if not set(_COLUMNS) & set(reader.fieldnames or ()):
                raise UserError(f"{path}: needs a column {', '.join(_COLUMNS)}")
            for line, row in enumerate(reader, start=2):
                key = key_of(row)
                if not key:
                    raise UserError(f"{path}, line {line}: no readable molecule")
                skeletons.add(key[:14])
    return frozenset(skeletons)


def skeletons_of(index: pd.DataFrame, cids: Iterable[str]) -> list[str]:
    """Return the skeletons of molecules of an index (columns cid and inchikey), sorted."""
    keys = index["inchikey"][index["cid"].isin(set(cids))]
    return sorted({str(key)[:14] for key in keys if key})
