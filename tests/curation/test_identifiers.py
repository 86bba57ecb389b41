"""Tables of identifiers as they are found, and molecules that have only one kind or none."""

import numpy as np
import pandas as pd
import pytest

from force2geo.curation.identifiers import Identifiers
from force2geo.curation.identity import read_molecule
from force2geo.curation.index import index_row
from force2geo.errors import UserError
from force2geo.trajectory import Trajectory

WATER, BENZENE = "InChI=1S/H2O/h1H2", "InChI=1S/C6H6/c1-2-4-6-5-3-1/h1-6H"


def test_a_table_in_another_encoding_is_read(tmp_path):
    table = tmp_path / "molecules.csv"
    rows = ["cid,name,smiles,inchi", f'962,"Wasser, ü",O,{WATER}', f"241,é,c1ccccc1,{BENZENE}"]
    table.write_bytes("\n".join(rows).encode("latin-1"))
    identifiers = Identifiers(table)
    assert identifiers.get("000000962") == ("O", WATER)
    assert identifiers.get("000000241") == ("c1ccccc1", BENZENE)
    assert identifiers.get("000000001") == ("", "")
    table.write_bytes(b"cid,smiles\n\xe9,O\n")
    with pytest.raises(UserError, match=r"line 2: '\\xe9' is not a CID"):
        Identifiers(table)
    table.write_bytes(b"cid,smiles\n" + b"9" * 30 + b",O\n")
    with pytest.raises(UserError, match="line 2"):
        Identifiers(table)


def test_keys_that_are_no_numbers_have_no_identifiers(tmp_path):
    table = tmp_path / "molecules.csv"
    table.write_text("cid,smiles\n2230,CC\n962,O\n")
    identifiers = Identifiers(table)
    # int("223_0") is 2230 to Python.
    for key in ("223_0", "mol1", "", "9" * 40, "٩٦٢", "-962"):
        assert identifiers.get(key) == ("", "")
    assert identifiers.get("2230") == ("CC", "")


def test_molecules_are_read_from_the_inchi_where_the_smiles_says_nothing():
    assert read_molecule("c1ccccc1", "").GetNumAtoms() == 6
    for smiles in ("", " ", "c1ccccc", "no"):
        assert read_molecule(smiles, BENZENE).GetNumAtoms() == 6
        assert read_molecule(smiles, "") is None and read_molecule(smiles, "InChI=no") is None


def test_the_index_tells_unreadable_from_ringless(make_stage):
    z = np.array([8, 1, 1], dtype=np.uint8)
    rows = {}
    for name, smiles, inchi in (
        ("smiles", "O", ""), ("inchi", "", WATER), ("ring", "bad(", BENZENE),
        ("bad", "bad(", ""), ("none", "", ""),
    ):  # fmt: skip
        trajectory = Trajectory("000000962", z, smiles=smiles, inchi=inchi)
        trajectory.stages = {"hf": make_stage(2, 3, "hf")}
        rows[name] = index_row(trajectory, "s.lmdb")
    key = "XLYOFNOQVPJJNP-UHFFFAOYSA-N"  # water's
    assert [rows[n]["inchikey"] for n in rows] == [
        key, key, "UHOVQNZJYSORNB-UHFFFAOYSA-N", "", "",
    ]  # fmt: skip
    assert [rows[n]["scaffold"] for n in rows] == ["", "", "c1ccccc1", None, None]
    notes = pd.Series({name: row["notes"] for name, row in rows.items()})
    assert notes["bad"] == "SMILES and InChI cannot be read"
    assert (notes.drop("bad") == "").all()
