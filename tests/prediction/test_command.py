"""`force2geo predict` and `force2geo models`: tables, SDF, exit statuses, models in the box."""

import csv
import io
import json

import numpy as np
import pytest
from rdkit import Chem

import force2geo
from force2geo.cli import main
from force2geo.files import hash_file
from force2geo.potentials.heads import Head
from force2geo.prediction import shipped

LIST = "CCO ethanol\nnonsense( odd\nCCl chloromethane\nC methane\n"


def table(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_the_table_names_units_and_has_a_row_for_each_molecule(make, tmp_path, capsys):
    (tmp_path / "a.smi").write_text(LIST)
    paths = [make("a.pt", 1), make("b.pt", 2, heads={"property": Head("property", "gap", "eV")})]
    models = [f"--model={path}" for path in paths]
    assert (
        main(["predict", str(tmp_path / "a.smi"), *models, "--out", str(tmp_path / "o.csv")]) == 1
    )
    told = capsys.readouterr().err
    assert "4 molecules: 2 in, 1 no molecule, 1 outside" in told
    assert "1 without a number: refused: the model has never seen Cl" in told
    assert "the model learnt on dft geometries" in told
    found = table((tmp_path / "o.csv").read_text())
    assert list(found[0]) == [
        "molecule", "name", "smiles", "gap (eV)", "gap spread (eV)", "dipole (D)", "applicability",
        "reason", "distance", "status",
    ]  # fmt: skip
    assert [row["molecule"] for row in found] == ["1", "2", "3", "4"]
    assert [row["name"] for row in found] == ["ethanol", "odd", "chloromethane", "methane"]
    rows = list(force2geo.predict(tmp_path / "a.smi", models=paths))
    for text, row in zip(found, rows, strict=True):
        for column, value in (("gap (eV)", row.values.get("gap")),
                              ("gap spread (eV)", row.spreads.get("gap")),
                              ("dipole (D)", row.values.get("dipole"))):  # fmt: skip
            assert (text[column] == "") == (value is None)
            if value is not None:
                assert float(text[column]) == pytest.approx(value, rel=1e-2)
        assert text["status"] == row.status and text["applicability"] == row.applicability
    assert float(found[0]["gap (eV)"]) == pytest.approx(rows[0].values["gap"], rel=1e-7)


def test_without_a_file_the_table_goes_to_the_terminal(make, capsys):
    assert main(["predict", "CCO", "--property", "gap", "--model", str(make("m.pt"))]) == 0
    (row,) = table(capsys.readouterr().out)
    assert row["smiles"] == "CCO" and float(row["gap (eV)"]) and "gap spread (eV)" not in row
    assert main(["predict", "CCl", "--model", str(make("m.pt"))]) == 2


def test_an_sdf_has_a_record_for_each_molecule_and_keeps_its_properties(make, tmp_path, capsys):
    model = ["--model", str(make("m.pt"))]
    (tmp_path / "a.smi").write_text(LIST)
    (tmp_path / "a.csv").write_text("smiles,name,reason,batch\nCCO,ethanol,mine,A 7\nx(,odd,,\n")
    assert main(["predict", str(tmp_path / "a.csv"), *model, "--out", str(tmp_path / "o.sdf")]) == 1
    assert "its own 'reason' is kept as 'input_reason'" in capsys.readouterr().err
    good, bad = Chem.SDMolSupplier(str(tmp_path / "o.sdf"), removeHs=False, sanitize=False)
    assert good.GetProp("_Name") == "ethanol" and good.GetNumAtoms() == 9
    assert good.GetProp("input_reason") == "mine" and good.GetProp("batch") == "A 7"
    assert good.GetProp("applicability") == "in" and not good.HasProp("reason")
    assert bad.GetNumAtoms() == 0 and bad.GetProp("_Name") == "odd"
    assert bad.GetProp("status") == "left out: 'x(' is not a SMILES"
    # What is written is what was predicted: read again, the numbers are the same.
    assert main(["predict", str(tmp_path / "o.sdf"), *model, "--out", str(tmp_path / "p.sdf")]) == 1
    again, _ = Chem.SDMolSupplier(str(tmp_path / "p.sdf"), removeHs=False, sanitize=False)
    for name in ("gap (eV)", "dipole (D)"):
        assert float(again.GetProp(name)) == pytest.approx(float(good.GetProp(name)), abs=2e-3)
    assert again.GetProp("input_reason") == "mine" and not again.HasProp("input_status")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "a.smi", "m.pt", "o.sdf",
                                                                "p.sdf"]  # fmt: skip


def test_what_cannot_be_meant_is_told_and_leaves_nothing(make, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(shipped, "FOLDER", tmp_path / "no models")
    (tmp_path / "a.smi").write_text("C\n")
    model = ["--model", str(make("m.pt"))]
    for arguments, message in (
        (["a.smi", *model, "--out", "b.pdb"], "--out b.pdb: give one of .csv, .sdf"),
        (["a.smi", *model, "--batch-atoms", "0"], "give 1 or more"),
        (["a.smi", *model, "--property", "zpve", "--out", "b.csv"], "predicts 'zpve', only gap"),
        (["a.smi", *model, "--fmax", "0"], "above 0"),
        (["a.smi", *model, "--steps", "-1"], "0 or more"),
        (["no.smi", *model, "--out", "b.csv"], "no.smi: no such file"),
        (["no.smi", *model], "no.smi: no such file"),
        (["a.smi", "--model", "no.pt"], "no.pt: no such checkpoint"),
        (["a.smi"], "no property asked for"),
        (["a.smi", "--property", "gap"], "no model that predicts gap comes with this version"),
    ):
        assert main(["predict", *arguments]) == 2
        told = capsys.readouterr()
        (line,) = told.err.strip().splitlines()
        assert message in line and not told.out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.smi", "m.pt"]


CARD = {
    "title": "gaps, a toy", "data": "none", "level": "none", "geometry": "dft", "licence": "MIT",
    "errors": {"gap": {"mae": 0.5, "unit": "eV", "molecules": 7, "on": "none"}},
    "limits": ["not for use"], "made_by": "a test",
}  # fmt: skip


@pytest.fixture
def box(make, tmp_path, monkeypatch):
    """A folder of models as the package has one, with an ensemble of two in it."""
    folder = tmp_path / "weights"
    folder.mkdir()
    monkeypatch.setattr(shipped, "FOLDER", folder)
    files = {}
    for seed in (1, 2):
        made = make(f"toy.{seed}.pt", seed, heads={"property": Head("property", "gap", "eV")})
        files[made.name] = hash_file(made)
        made.rename(folder / made.name)
    (folder / "toy.json").write_text(json.dumps(CARD | {"files": files}))
    return folder


def test_a_model_in_the_box_is_listed_shown_and_used(box, capsys):
    assert main(["models"]) == 0
    assert capsys.readouterr().out == "toy: gaps, a toy; test MAE gap 0.5 eV\n"
    assert main(["models", "toy"]) == 0
    shown = capsys.readouterr().out
    for text in (
        "made by: a test", "limit: not for use", "7 molecules", "toy.2.pt\nproperty: painn",
        "elements: H C O", "molecules of 2 to 100 atoms",
    ):  # fmt: skip
        assert text in shown
    rows = [
        *force2geo.predict("CCO", "gap"),
        *force2geo.predict("CCO", models="toy"),
        *force2geo.predict("CCO"),  # the only model there is
    ]
    said = [force2geo.load(box / f"toy.{seed}.pt").predict("CCO")[0]["property"] for seed in (1, 2)]
    for row in rows:  # conformers of predict and load differ in what optimises them
        assert row.values["gap"] == pytest.approx(np.mean(said), abs=0.02)
        assert row.spreads["gap"] == pytest.approx(np.std(said, ddof=1), abs=0.02)


def test_a_box_that_is_not_in_order_is_told(box, make, capsys):
    def says(*arguments):
        assert main(list(arguments)) == 2
        return capsys.readouterr().err

    assert "no model 'x' comes with this version, only toy" in says("models", "x")
    assert "no model that predicts homo comes" in says("predict", "C", "--property", "homo")
    card = json.loads((box / "toy.json").read_text())
    (box / "other.json").write_text(json.dumps(card))
    assert "other, toy predict gap: choose one, --model other" in says(
        "predict", "C", "--property", "gap"
    )
    assert "no property asked for: give --property NAME" in says("predict", "C")
    (box / "other.json").write_text(json.dumps({"title": "x"}))
    assert "other.json: 'files' is missing" in says("models")
    (box / "other.json").unlink()
    (box / "toy.1.pt").write_bytes(make("x.pt", 9).read_bytes())
    assert "toy.1.pt: not the file that the card of 'toy' names" in says(
        "predict", "C", "--model", "toy"
    )
    (box / "toy.1.pt").unlink()
    assert "toy.1.pt: no such file" in says("models", "toy")


def test_what_ships_is_listed(capsys):
    assert main(["models"]) == 0
    names = [line.partition(":")[0] for line in capsys.readouterr().out.splitlines()]
    assert names == ["delta", "plain", "qm9"]
    assert main(["models", "delta"]) == 0
    told = capsys.readouterr().out
    assert "corrects: gfn2-xtb" in told.lower() and told.count("delta.") >= 3
