"""Potentials in the box: `force2geo relax` and `predict --relax` without a file, and by name."""

import json

import pytest
import torch
from ase.io import read
from test_command import CARD

import force2geo
from force2geo.calling.named import record_of
from force2geo.cli import main
from force2geo.files import hash_file
from force2geo.potentials.checkpoint import save
from force2geo.potentials.models import Potential
from force2geo.prediction import shipped

PAINN = {"name": "painn", "layers": 1, "features": 8, "basis_size": 8, "cutoff": 3.0}
SPREAD = {"quantile_95": 50.0, "unit": "eV/Å", "molecules": 9, "on": "none"}
ERRORS = {
    "energy": {"mae": 2.5, "unit": "meV/atom", "molecules": 9, "on": "none"},
    "forces": {"mae": 30.0, "unit": "meV/Å", "molecules": 9, "on": "none"},
}
ROWS = [{"by": "element", "of": "O", "snapshots": 4, "forces": 31.25}]


@pytest.fixture
def box(make, tmp_path, monkeypatch):
    """A box with potentials `delta`, two on GFN2-xTB, and `plain`, and a property model `toy`."""
    folder = tmp_path / "weights"
    folder.mkdir()
    monkeypatch.setattr(shipped, "FOLDER", folder)

    def put(name, paths, **about):
        files = {}
        for path in paths:
            files[path.name] = hash_file(path)
            path.rename(folder / path.name)
        (folder / f"{name}.json").write_text(json.dumps(CARD | {"files": files} | about))

    def potential(name, seed, baseline):
        torch.manual_seed(seed)
        network = Potential(PAINN)
        network.config |= {"elements": [1, 6, 8], "charge_states": [[0, 1]]}
        if baseline:
            network.config["baseline"] = record_of(baseline)
            for weight in network.heads.parameters():
                weight.data *= 1e-3  # a small correction, so that molecules stay molecules
        save(network, tmp_path / name, {"stage": "train"})
        return tmp_path / name

    about = {"kind": "potential", "errors": ERRORS, "title": "a toy"}
    members = [potential(f"delta.{seed}.pt", seed, "gfn2-xtb") for seed in (1, 2)]
    put("delta", members, spread=SPREAD, rows=ROWS, **about)
    put("plain", [potential("plain.1.pt", 3, None)], **about)
    put("toy", [make("toy.1.pt")])
    return folder


def relax(folder, *options, status=0):
    (folder / "in.smi").write_text("O water\nCO methanol\n")
    files = [str(folder / name) for name in ("in.smi", "out.xyz")]
    assert main(["relax", *files, *options]) == status
    return read(folder / "out.xyz", ":") if status == 0 else []


def test_without_a_model_the_box_relaxes(box, tmp_path):
    found = relax(tmp_path)
    files = [str(box / f"delta.{seed}.pt") for seed in (1, 2)]
    for one, other in zip(found, relax(tmp_path, "--model", *files), strict=True):
        assert abs(one.positions - other.positions).max() < 1e-5
        assert one.info["status"] == "converged"
        assert one.info["force_spread"] == pytest.approx(other.info["force_spread"], abs=1e-6)
    for one, other in zip(found, relax(tmp_path, "--model", "delta"), strict=True):
        assert abs(one.positions - other.positions).max() < 1e-5
    # A minimum by another's hand: the small correction leaves GFN2-xTB's.
    xtb = ["--calculator", "tblite.ase:TBLite", "--options", '{"verbosity": 0}']
    for one, other in zip(found, relax(tmp_path, *xtb), strict=True):
        assert abs(one.get_all_distances() - other.get_all_distances()).max() < 0.05


def test_the_card_says_what_is_unsure(box, tmp_path):
    path = box / "delta.json"
    card = json.loads(path.read_text())
    path.write_text(json.dumps(card | {"spread": SPREAD | {"quantile_95": 1e-9}}))
    for atoms in relax(tmp_path):
        assert atoms.info["status"].startswith("unsure: models differ by")
        assert atoms.info["converged"] == False  # noqa: E712 - ASE reads a text or a bool
    files = [str(box / f"delta.{seed}.pt") for seed in (1, 2)]
    for atoms in relax(tmp_path, "--model", *files):
        assert atoms.info["status"] == "converged"  # nobody has calibrated these


def test_a_name_is_a_potential_in_the_box(box, tmp_path, capsys):
    for atoms in relax(tmp_path, "--model", "plain", "--steps", "2"):
        assert "force_spread" not in atoms.info
    for models, message in (
        (["toy"], "'toy' predicts gap and relaxes nothing; potentials in the box: delta, plain"),
        (["delta", "plain"], "relaxes alone"),
        (["other"], "other: no such checkpoint"),
    ):
        relax(tmp_path, "--model", *models, status=2)
        assert message in capsys.readouterr().err
    (tmp_path / "s.smi").write_text("S\nC[O-]\n")
    arguments = ["relax", str(tmp_path / "s.smi"), str(tmp_path / "s.xyz")]
    assert main(arguments) == 2
    told = [atoms.info["status"] for atoms in read(tmp_path / "s.xyz", ":")]
    assert told[0] == "refused: the model has never seen S"
    assert told[1].startswith("refused: the model has never seen charge")


def test_potentials_are_listed_and_shown(box, capsys):
    assert main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "delta: a toy; test MAE energy 2.5 meV/atom, forces 30 meV/Å"
    assert [line.partition(":")[0] for line in lines] == ["delta", "plain", "toy"]
    assert main(["models", "delta"]) == 0
    shown = capsys.readouterr().out
    for text in (
        "kind: potential", "by element, of O, snapshots 4, forces 31.25",
        "differ by less than 50 eV/Å in 95 % of 9 molecules", "delta.2.pt\npotential: painn",
        "corrects: gfn2-xtb",
    ):  # fmt: skip
        assert text in shown


def test_predictions_relax_with_the_box(box, tmp_path, capsys):
    expected = relax(tmp_path)
    for asked in (True, "delta", [box / "delta.1.pt", box / "delta.2.pt"]):
        rows = list(force2geo.predict(tmp_path / "in.smi", "gap", relax=asked))
        for row, atoms in zip(rows, expected, strict=True):
            assert row.status == "converged" and row.values
            assert abs(row.structure.positions - atoms.positions).max() < 1e-3
    (unrelaxed, _) = force2geo.predict(tmp_path / "in.smi", "gap", relax=False)
    assert unrelaxed.status == "predicted"
    assert main(["predict", str(tmp_path / "in.smi"), "--property", "gap", "--relax"]) == 0
    assert "converged" in capsys.readouterr().out
    card = json.loads((box / "delta.json").read_text())
    card["spread"] = SPREAD | {"quantile_95": 1e-9}
    (box / "delta.json").write_text(json.dumps(card))
    for row in force2geo.predict(tmp_path / "in.smi", "gap", relax=True):
        assert row.applicability == "edge" and "unsure end: models differ" in row.reason


def test_an_empty_box_says_what_to_give(box, tmp_path, capsys):
    for path in box.iterdir():
        path.unlink()
    relax(tmp_path, status=2)
    assert "no potential comes with this version: give --model" in capsys.readouterr().err
    assert not (tmp_path / "out.xyz").exists()
