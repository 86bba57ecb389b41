"""Potentials of a run made ready for the box: what is kept, what the card says."""

import csv
import json

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.io import write
from test_shipped_potentials import PAINN

import force2geo
from force2geo.cli import main
from force2geo.errors import UserError
from force2geo.files import record_provenance
from force2geo.potentials.checkpoint import save
from force2geo.potentials.models import Potential, PropertyModel
from force2geo.prediction import shipped, shipping

ABOUT = {
    "potential": "Force2Geo", "title": "t", "data": "d", "limits": ["l"], "licence": "MIT",
    "made_by": "m", "trainings": ["a", "b"], "packed": "pretrain", "source": None,
}  # fmt: skip
MEASURED = {
    "errors": {name: {"mae": mae, "unit": unit, "molecules": 3, "on": "test"}
               for name, mae, unit in (("energy", 1.5, "meV/atom"), ("forces", 20.0, "meV/Å"))},
    "spread": {"quantile_95": 0.08, "unit": "eV/Å", "molecules": 3, "on": "test"},
    "forces": {"spearman": 0.5}, "left_out": {},
    "rows": [{"by": "element", "of": "C", "forces": 21.0}],
}  # fmt: skip
CELLS = [
    {"row": "Force2Geo", "column": "pct_success", "value": 97.0},
    {"row": "Force2Geo, from rdkit", "column": "pct_success", "value": 96.0},
    {"row": "Force2Geo, from rdkit", "column": "pct_energy", "value": None},
    {"row": "Force2Geo, finished by DFT", "column": "gradients", "value": 1.5},
    {"row": "Force2GeoX", "column": "pct_success", "value": 1.0},
    {"row": "GFN2-xTB", "column": "pct_success", "value": 70.0},
]


@pytest.fixture
def models(tmp_path):
    (tmp_path / "train").mkdir()
    paths = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        network = Potential(PAINN).double()
        network.config |= {"elements": [1, 6], "levels": ["B3LYP/6-31G*"]}
        origin = {"stage": "train", "settings": {"seed": seed, "tracking": {"uri": "http://x"}}}
        paths.append(tmp_path / "train" / f"{seed}.pt")
        save(network, paths[-1], origin)
    return paths


def shipped_by_command(folder, models, *more, name="delta"):
    (folder / "about.json").write_text(json.dumps(ABOUT))
    measured = folder / "calibration.json"
    measured.write_text(json.dumps(MEASURED))
    record_provenance(measured, "calibrate", {}, models)
    card = folder / "box" / f"{name}.json"
    arguments = ["ship", "--settings", folder / "about.json", "--calibration", measured, "--model",
                 *models, "--out", card, *more]  # fmt: skip
    return main(list(map(str, arguments))), card


def test_a_potential_of_the_run_is_one_in_the_box(models, tmp_path, monkeypatch):
    (tmp_path / "table3.json").write_text(json.dumps({"cells": CELLS}))
    status, card = shipped_by_command(tmp_path, models, "--table", tmp_path / "table3.json")
    assert status == 0
    assert shipped_by_command(tmp_path, models[:1], name="plain")[0] == 0  # a neighbour
    monkeypatch.setattr(shipped, "FOLDER", card.parent)
    paths, unsure_above = shipped.potential()
    assert [path.name for path in paths] == ["delta.1.pt", "delta.2.pt"] and unsure_above == 0.08
    known = shipped.cards()["delta"]
    assert (known.kind, known.level, known.title) == ("potential", "B3LYP/6-31G*", "t")
    assert known.errors["forces"].mae == 20.0
    assert list(known.rows) == [
        {"by": "element", "of": "C", "forces": 21.0},
        {"by": "relaxation", "of": "Force2Geo", "pct_success": 97.0},
        {"by": "relaxation", "of": "Force2Geo, from rdkit", "pct_success": 96.0},
        {"by": "relaxation", "of": "Force2Geo, finished by DFT", "gradients": 1.5},
    ]
    for path, source in zip(paths, models, strict=True):
        ours, theirs = force2geo.load(path), force2geo.load(source)
        assert ours.dtype == torch.float32 and theirs.dtype == torch.float64
        assert ours.provenance["settings"] == {"seed": theirs.provenance["settings"]["seed"]}
        pair = Atoms("CH2", [[0, 0, 0], [0, 0, 1.1], [0, 1.0, -0.4]])
        one, other = (model.predict(pair)[0] for model in (ours, theirs))
        np.testing.assert_allclose(one["forces"], other["forces"], atol=1e-4)
        assert path.stat().st_size < source.stat().st_size


def test_property_models_of_a_run_are_one_in_the_box(tmp_path, monkeypatch, capsys):
    """Asked for a property and no model, `predict` takes it, and answers as its networks do."""
    paths, answers = [], []
    for seed in (1, 2):
        torch.manual_seed(seed)
        network = PropertyModel(PAINN)
        network.config["heads"]["property"] |= {"target": "gap", "unit": "eV"}
        network.config |= {"elements": [1, 6]}
        paths.append(tmp_path / f"{seed}.pt")
        settings = {"geometry": "dft", "split": "random"}
        save(network, paths[-1], {"stage": "train", "settings": settings})
        pair = Atoms("CH2", [[0, 0, 0], [0, 0, 1.1], [0, 1.0, -0.4]])
        answers.append(force2geo.load(paths[-1]).predict(pair)[0]["property"])
    about = tmp_path / "about.json"
    about.write_text(json.dumps({**ABOUT, "recipe": "painn", "level": "B3LYP/6-31G(2df,p)"}))
    measured = tmp_path / "calibration.json"
    error = {"mae": 0.1, "unit": "eV", "molecules": 3, "on": "test"}
    row = {"by": "applicability", "of": "in", "gap": 0.05}
    measured.write_text(json.dumps({"errors": {"gap": error}, "rows": [row], "left_out": {}}))
    record_provenance(measured, "calibrate", {}, paths)
    card = tmp_path / "box" / "small.json"
    told = ["ship", "--settings", about, "--calibration", measured, "--model", *paths,
            "--out", card]  # fmt: skip
    assert main(list(map(str, told))) == 0
    monkeypatch.setattr(shipped, "FOLDER", card.parent)
    known = shipped.cards()["small"]
    assert (known.kind, known.geometry, known.level) == ("property", "dft", "B3LYP/6-31G(2df,p)")
    assert known.errors["gap"].mae == 0.1 and list(known.rows) == [row] and known.spread is None
    write(tmp_path / "in.xyz", pair)
    capsys.readouterr()
    assert main(["predict", str(tmp_path / "in.xyz"), "--property", "gap"]) == 0
    (found,) = csv.DictReader(capsys.readouterr().out.splitlines())
    value = next(float(found[key]) for key in found if key.startswith("gap"))
    assert value == pytest.approx(np.mean(answers), abs=1e-5)


def test_a_potential_and_a_property_model_are_not_one(models, tmp_path):
    other = tmp_path / "gap.pt"
    save(PropertyModel(PAINN), other, {"settings": {}})
    with pytest.raises(UserError, match="a potential and a property model are not one model"):
        shipping.ship(tmp_path / "box" / "x.json", [models[0], other], ABOUT, MEASURED)


def test_a_box_has_a_size(models, tmp_path, monkeypatch):
    monkeypatch.setattr(shipping, "LIMIT", 30_000)
    with pytest.raises(UserError, match="a box holds 30000"):
        shipping.ship(tmp_path / "box" / "delta.json", models, ABOUT, MEASURED)
    assert not (tmp_path / "box" / "delta.json").exists()


def test_what_is_not_of_these_models_is_no_card(models, tmp_path, capsys):
    (tmp_path / "about.json").write_text(json.dumps(ABOUT))
    measured = tmp_path / "calibration.json"
    measured.write_text(json.dumps(MEASURED))
    record_provenance(measured, "calibrate", {}, models[:1])
    card = tmp_path / "box" / "delta.json"
    arguments = ["ship", "--settings", tmp_path / "about.json", "--calibration", measured,
                 "--model", *models, "--out", card]  # fmt: skip
    assert main(list(map(str, arguments))) == 2
    assert f"not measured for {models[1]}" in capsys.readouterr().err and not card.exists()
