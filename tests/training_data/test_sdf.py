"""Records of SDF files: split wherever a read ends, read as RDKit reads the whole file."""

import io

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import AllChem

from force2geo.training_data import sdf

SMILES = [
    "C[C@H](N)C(=O)O",
    "C[C@@H](N)C(=O)O",
    "[NH4+]",
    "[CH3]",
    "c1ccccc1",
    "F/C=C/F",
    "F/C=C\\F",
]


@pytest.fixture(scope="module")
def text():
    file = io.StringIO()
    writer = Chem.SDWriter(file)
    for place, smiles in enumerate(SMILES):
        molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
        AllChem.EmbedMolecule(molecule, randomSeed=1)
        molecule.SetProp("_Name", f"mol {place}")
        molecule.SetProp("note", "costs $$$$ a lot")
        writer.write(molecule)
    writer.close()
    return file.getvalue()


@pytest.mark.parametrize("chunk", [1, 7, 100, 1 << 22])
def test_records_are_the_file_s_however_it_is_read(text, chunk, monkeypatch):
    monkeypatch.setattr(sdf, "_CHUNK", chunk)
    found = list(sdf.records(io.BytesIO(text.encode())))
    assert [one.split(b"\n")[0] for one in found] == [f"mol {n}".encode() for n in range(7)]
    assert b"$$$$\n".join([*found, b""]) == text.encode()
    # The last line may lack its end, or all of it.
    for cut in (text.rstrip("\n"), text.rstrip("\n$")):
        assert len(list(sdf.records(io.BytesIO(cut.encode())))) == 7
    crlf = text.replace("\n", "\r\n").encode()
    assert len(list(sdf.records(io.BytesIO(crlf)))) == 7
    assert list(sdf.records(io.BytesIO(b""))) == []


def test_molecules_are_those_that_were_written(text):
    whole = Chem.ForwardSDMolSupplier(io.BytesIO(text.encode()), removeHs=False)
    states = {"[NH4+]": (1, 1), "[CH3]": (0, 2)}
    for record, other, smiles in zip(
        sdf.records(io.BytesIO(text.encode())), whole, SMILES, strict=True
    ):
        found = sdf.parse(record)
        np.testing.assert_array_equal(found.positions, other.GetConformer().GetPositions())
        assert found.numbers.tolist() == [atom.GetAtomicNum() for atom in other.GetAtoms()]
        assert found.title == other.GetProp("_Name")
        assert (found.charge, found.multiplicity) == states.get(smiles, (0, 1))
        # With its configuration.
        assert found.smiles == Chem.CanonSmiles(smiles)


def test_what_is_no_molecule_says_why(text):
    record = next(sdf.records(io.BytesIO(text.encode()))).decode()
    assert sdf.parse(b"nothing\n\n\n") == "RDKit cannot read it"
    assert sdf.parse(record.replace("V2000", "V9999").encode()) == "RDKit cannot read it"
    assert sdf.parse(record.replace(" N ", " * ", 1).encode()) == "an atom without an element"
    # A molecule without one of its hydrogens is read, but its SMILES would be another's.
    lines = "x\n\n\n  2  1  0  0  0  0  0  0  0  0999 V2000\n"
    lines += "    0.0000    0.0000    0.0000 O   0  0\n    0.9600    0.0000    0.0000 H   0  0\n"
    found = sdf.parse((lines + "  1  2  1  0\nM  END\n").encode())
    assert found.numbers.tolist() == [8, 1] and found.smiles == ""
