"""Objectives by name, one of another package among them; targets by name; what learns."""

import json
import re
import sys

import h5py
import numpy as np
import pytest
import torch
from train_toys import SETTINGS

import force2geo
from force2geo.cli import main
from force2geo.errors import UserError
from force2geo.potentials import checkpoint
from force2geo.potentials.batch import collate
from force2geo.potentials.models import Network
from force2geo.train import engine, judging, registry
from force2geo.train.objective import ParameterGroup
from force2geo.train.objectives.energy_forces import EnergyForces
from force2geo.train.objectives.property import PropertyGeometry
from force2geo.training_data.conformers import (
    Conformers,
    Target,
    read_conformers,
    write_conformers,
)

STILL = {"name": "adam", "learning_rate": 0.0, "betas": [0.9, 0.999], "weight_decay": 0.0}
BACKBONE = {"name": "painn", "layers": 1, "features": 8, "basis_size": 8, "cutoff": 4.5}
RECORD = SETTINGS | {"epochs": 2, "backbone": BACKBONE}
PROPERTY = RECORD | {
    "objective": "property", "target": "gap", "split": "random", "geometry": "dft", "start": None,
    "mixed": False,
}  # fmt: skip


@pytest.fixture
def shaking(repository, tmp_path, monkeypatch):
    """A package that registers the README's objective."""
    code = re.findall(r"^```python\n(.*?)^```", (repository / "README.md").read_text(), re.M | re.S)
    (code,) = (one for one in code if "OBJECTIVE = Shaking" in one)
    (tmp_path / "shaking.py").write_text(code)
    info = tmp_path / "shaking-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shaking\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text(
        "[force2geo.objectives]\nshaking = shaking:Shaking\nnumber = math:pi\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("shaking", None)


def train(folder, record, data, *more):
    """Train by the command line; return the model's file and its metrics."""
    folder.mkdir()
    (folder / "s.json").write_text(json.dumps(record))
    given = ["--settings", folder / "s.json", "--data", data, "--out", folder / "model.pt", *more]
    assert main(["train", *map(str, given)]) == 0
    return folder / "model.pt", json.loads((folder / "metrics.json").read_text())


def test_another_package_s_objective_trains(shaking, packed, tmp_path):
    record = RECORD | {"objective": "shaking", "noise": 0.3, "epochs": 8}
    target, metrics = train(tmp_path / "a", record, tmp_path / "x.h5")
    losses = [row["train_loss"] for row in metrics["history"]]
    # 3 × 0.3² where nothing is learnt.
    assert losses[-1] < losses[0] and losses[-1] < 0.27
    assert metrics["units"] == {"size_mae": "Å"} and metrics["sizes"]["val"] == 12
    with np.load(target.with_name("predictions.npz")) as file:
        sizes = file["test/size"]
    assert metrics["test"]["size_mae"] == pytest.approx(sizes.mean(), rel=1e-6)
    model = force2geo.load(target)
    assert list(model.network.config["heads"]) == ["size", "displacement"]
    # The rate is the backbone's, half of the optimiser's; `size` is in no group.
    assert metrics["history"][0]["learning_rate"] == 0.005
    still, _ = train(tmp_path / "b", record | {"optimizer": STILL}, tmp_path / "x.h5")
    one, two = (checkpoint.load(path).network.heads.state_dict() for path in (target, still))
    for name in one:
        assert torch.equal(one[name], two[name]) == name.startswith("size"), name


def test_a_wrong_objective_or_setting_of_one_is_told_in_a_line(shaking, packed, tmp_path, capsys):
    for changes, message in (
        ({"objective": "magic"}, "unknown name 'magic', choose one of denoising, energy_forces, n"),
        ({"objective": None}, "unknown name 'None'"),
        ({"objective": "number"}, "objective number: 3.14"),
        ({"objective": "shaking", "noise": -1.0}, "objective shaking: 'noise' is -1.0, not a"),
        ({"objective": "energy_forces", "loss": {"l3": 1}}, "energy_forces: it takes no 'l3'"),
        ({"objective": "property", "target": []}, "'target' is [], not different names"),
        ({"objective": "property", "target": ["a", "a"]}, "'target' is ['a', 'a'], not different"),
    ):
        (tmp_path / "s.json").write_text(json.dumps(RECORD | changes))
        arguments = ["--settings", "s.json", "--data", "x.h5", "--out", "model.pt"]
        paths = [str(tmp_path / a) if "." in a else a for a in arguments]
        assert main(["train", *paths]) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert message in line and "s.json" in line, line
    assert set(registry.names()) >= {"energy_forces", "property"}


@pytest.fixture
def molecules(tmp_path):
    """Twelve molecules with three targets, one of which the last lacks."""
    rng = np.random.default_rng(0)
    positions = 1.5 * rng.normal(size=(36, 3))
    targets = {
        "gap": Target(np.arange(12.0), "eV"), "dipole": Target(100 + rng.normal(size=12), "D"),
        "zpve": Target(np.r_[np.ones(11), np.nan], "eV"),
    }  # fmt: skip
    cids = [f"{number:09d}" for number in range(12)]
    write_conformers(tmp_path / "c.h5", Conformers(
        cids, 3 * np.arange(13), np.tile([8, 1, 1], 12), targets,
        dict.fromkeys(("dft", "hf", "rdkit"), positions), np.zeros(12, int), np.ones(12, int),
    ))  # fmt: skip
    parts = {"train": cids[:6], "val": cids[6:9], "test": cids[9:]}
    (tmp_path / "selection.json").write_text(json.dumps({"random": parts}))
    return tmp_path / "c.h5", "--selection", tmp_path / "selection.json"


def test_several_targets_are_learnt_at_once_each_on_its_scale(molecules, tmp_path):
    record = PROPERTY | {"target": ["gap", "dipole"], "batch_size": 6, "epochs": 1, "ema": 0.0}
    frozen = {"optimizer": STILL}
    target, metrics = train(tmp_path / "a", record | frozen, *molecules)
    network = checkpoint.load(target).network
    with h5py.File(molecules[0]) as file:
        true = {name: file[f"target/{name}"][:] for name in ("gap", "dipole")}
        assert file["target/dipole"].attrs["unit"] == "D"
    with np.load(target.with_name("predictions.npz")) as file:
        found = dict(file)
    scaled = []
    for name, values in true.items():
        head = network.property_head(name)
        scale = float(head.mean), float(head.deviation)
        assert scale == pytest.approx((values[:6].mean(), values[:6].std()), rel=1e-5)
        np.testing.assert_allclose(found[f"val/{name}_true"], values[6:9], rtol=1e-6)
        off = np.abs(found[f"val/{name}"] - found[f"val/{name}_true"]).mean()
        assert metrics["val"][f"{name}_mae"] == pytest.approx(off, rel=1e-6)
        scaled.append(off / values[:6].std())
    assert metrics["val"]["scaled_mae"] == pytest.approx(np.mean(scaled), rel=1e-5)
    assert metrics["units"] == {"gap_mae": "eV", "dipole_mae": "D",
                                "scaled_mae": "standard deviations"}  # fmt: skip
    (row,) = metrics["history"]
    # One batch, of weights as they were made and are still.
    parts = [row[f"train_{name}"] / values[:6].std() for name, values in true.items()]
    assert row["train_loss"] == pytest.approx(np.mean(parts), rel=1e-5)
    model = force2geo.load(target)
    assert "predicts: gap (eV), dipole (D)\n" in repr(model)
    (given,) = model.predict("O")
    assert set(given) == {"gap", "dipole", "displacement", "atoms"}
    assert 95 < given["dipole"] < 105 and given["gap"] < 20


@pytest.mark.parametrize("name", ["gap", "dipole"])
def test_heads_of_a_start_are_taken_by_their_targets(molecules, tmp_path, capsys, name):
    record = PROPERTY | {"epochs": 1, "ema": 0.0}
    both, _ = train(tmp_path / "a", record | {"target": ["gap", "dipole"]}, *molecules)
    still = {"optimizer": STILL, "start": "a"}
    tuned = record | still | {"mixed": True, "target": name}
    one, _ = train(tmp_path / "b", tuned, *molecules, "--start", both)
    start, found = (checkpoint.load(path).network for path in (both, one))
    for key, weights in start.property_head(name).state_dict().items():
        assert torch.equal(weights, found.property_head().state_dict()[key]), key
    (tmp_path / "s.json").write_text(json.dumps(tuned | {"target": "zpve"}))
    given = ["--settings", tmp_path / "s.json", "--data", *molecules, "--start", both,
             "--out", tmp_path / "c.pt"]  # fmt: skip
    assert main(["train", *map(str, given)]) == 2
    assert f"{both}: predicts dipole, gap and no 'zpve'" in capsys.readouterr().err


def test_what_a_file_does_not_have_is_told_with_what_it_has(molecules, tmp_path, capsys):
    (tmp_path / "s.json").write_text(json.dumps(PROPERTY | {"target": "alpha"}))
    given = ["--settings", tmp_path / "s.json", "--data", *molecules, "--out", tmp_path / "m.pt"]
    assert main(["train", *map(str, given)]) == 2
    message = "c.h5: has no target 'alpha', only dipole (D), gap (eV), zpve (eV)"
    assert capsys.readouterr().err.strip().endswith(message)
    _, metrics = train(tmp_path / "a", PROPERTY | {"target": "zpve"}, *molecules)
    assert (
        metrics["left_out"] == {"test": {"no target 'zpve'": 1}} and metrics["sizes"]["test"] == 2
    )


def test_molecules_with_splits_of_their_own_need_no_selection(molecules, tmp_path, capsys):
    path, _, selection = molecules
    own = read_conformers(path)
    own.splits = {"random": {"train": own.cids[4:], "val": own.cids[:2], "test": own.cids[2:4]}}
    write_conformers(path, own)
    target, metrics = train(tmp_path / "a", PROPERTY | {"epochs": 1}, path)
    assert metrics["sizes"] == {"train": 8, "val": 2, "test": 2}
    with np.load(target.with_name("predictions.npz")) as file:
        assert file["val/cid"].tolist() == [cid.encode() for cid in own.cids[:2]]
        assert file["test/property_true"].tolist() == [2.0, 3.0]
    given = ["--settings", tmp_path / "s.json", "--data", path, "--out", tmp_path / "m.pt"]
    for record, more, said in (
        (PROPERTY, ["--selection", selection], "c.h5 has splits of its own"),
        (PROPERTY | {"split": "scaffold"}, [],
         "c.h5: has no split 'scaffold' of its own, only random"),
        (PROPERTY | {"geometry": "mmff"}, [], "c.h5: no geometry 'mmff', only dft, hf, rdkit"),
    ):  # fmt: skip
        (tmp_path / "s.json").write_text(json.dumps(record))
        assert main(["train", *map(str, [*given, *more])]) == 2
        assert said in capsys.readouterr().err


def test_what_the_potential_has_learnt_from_is_no_test(molecules, tmp_path, capsys):
    path, _, selection = molecules
    own = read_conformers(path)
    own.splits = {"random": {"train": own.cids[6:], "val": own.cids[:2], "test": own.cids[2:6]}}
    # The first of them trains and validates, too, where it may be seen.
    own.skeletons = np.array(["A", "B", "A", "", "C", "D", *"EFGHIJ"])
    write_conformers(path, own)
    (tmp_path / "seen.json").write_text(json.dumps({"skeletons": ["A", "E"]}))
    target, metrics = train(
        tmp_path / "a", PROPERTY | {"epochs": 1}, path, "--seen", tmp_path / "seen.json"
    )
    assert metrics["sizes"] == {"train": 6, "val": 2, "test": 2}
    assert metrics["left_out"]["test"] == {
        "the potential has learnt from it": 1,
        "it cannot be told from what the potential has learnt from": 1,
    }
    with np.load(target.with_name("predictions.npz")) as file:
        assert file["test/cid"].tolist() == [cid.encode() for cid in own.cids[4:6]]
    own.splits = {}
    write_conformers(path, own)
    (tmp_path / "s.json").write_text(json.dumps(PROPERTY))
    given = ["--settings", tmp_path / "s.json", "--data", path, "--out", tmp_path / "m.pt",
             "--selection", selection, "--seen", tmp_path / "seen.json"]  # fmt: skip
    assert main(["train", *map(str, given)]) == 2
    assert "--seen: it is for molecules with splits of their own" in capsys.readouterr().err


def test_a_file_of_before_has_a_gap(molecules):
    with h5py.File(molecules[0], "a") as file:
        file["gap"] = file["target/gap"][:]
        del file["target"]
    found = read_conformers(molecules[0]).targets
    assert list(found) == ["gap"] and found["gap"].unit == "eV"
    assert found["gap"].values.tolist() == list(range(12))


def test_a_frozen_backbone_keeps_its_start_and_the_heads_learn(packed, molecules, tmp_path):
    start, _ = train(tmp_path / "p", RECORD | {"objective": "energy_forces"}, tmp_path / "x.h5")
    record = PROPERTY | {"start": "p", "frozen_backbone": True, "geometry_weight": 0.0}
    one, _ = train(tmp_path / "a", record, *molecules, "--start", start)
    two, _ = train(tmp_path / "b", record | {"optimizer": STILL}, *molecules, "--start", start)
    begun, found, still = (checkpoint.load(path).network for path in (start, one, two))
    for name, weights in begun.backbone.state_dict().items():
        assert torch.equal(weights, found.backbone.state_dict()[name]), name
    assert not torch.equal(found.property_head().atomic[0].weight,
                           still.property_head().atomic[0].weight)  # fmt: skip


def test_groups_learn_at_their_own_rates(packed, tmp_path):
    class Slow(EnergyForces):
        def parameter_groups(self, model):
            heads = ParameterGroup(list(model.heads.parameters()), rate=0.1)
            return [ParameterGroup(list(model.backbone.parameters())), heads]

    objective = Slow.of()
    model = Network(BACKBONE, objective.heads())
    run = engine.Training(model, objective, SETTINGS, packed, packed)
    rates = [group["lr"] for group in run.configure_optimizers().param_groups]
    assert rates == pytest.approx([0.01, 0.001])


def test_metrics_of_an_epoch_are_of_sums_and_gather_no_prediction(packed, monkeypatch):
    """Metrics are those of the predictions in float64; what processes tell each other is small."""
    objective, told, data = EnergyForces.of(), [], packed.where("val")
    torch.manual_seed(0)
    model = Network(BACKBONE, objective.heads()).eval()
    plain = judging.gathered
    monkeypatch.setattr(judging, "gathered", lambda value: told.append(value) or plain(value))
    settings = {"batch_size": 2}  # twice as many to judge on: three batches
    metrics = judging.judge(model, objective, data, settings)
    (sums,) = told
    assert all(isinstance(value, float) for value in sums.values()) and sums["snapshots"] == 12
    found, again = judging.predict_all(model, objective, data, settings)
    assert again == metrics
    off = (found["forces"] - found["forces_true"]).astype(np.float64)
    assert metrics["force_rmse"] == pytest.approx(1e3 * np.sqrt((off**2).mean()), rel=1e-12)
    assert metrics["force_mae"] == pytest.approx(1e3 * np.abs(off).mean(), rel=1e-12)
    energy = np.abs(found["energy"] - found["energy_true"]) / found["atoms"]
    assert metrics["energy_mae"] == pytest.approx(1e3 * energy.mean(), rel=1e-12)


def test_processes_add_their_sums_also_of_none(packed, monkeypatch):
    objective, data, settings = EnergyForces.of(), packed.where("val"), {"batch_size": 2}
    torch.manual_seed(0)
    model = Network(BACKBONE, objective.heads()).eval()
    whole, parts = judging.judge(model, objective, data, settings), []
    for rank in range(5):  # three batches
        monkeypatch.setattr(judging, "place", lambda rank=rank: (rank, 5))
        monkeypatch.setattr(judging, "gathered", lambda own: parts.append(own) or parts)
        found = judging.judge(model, objective, data, settings)
    assert (
        found == pytest.approx(whole) and [bool(part) for part in parts] == [True] * 3 + [False] * 2
    )


def test_direct_forces_turn_with_the_molecule_and_are_learnt(ethanol):
    objective = EnergyForces.of(direct_forces=True)
    torch.manual_seed(0)
    model = Network(BACKBONE, objective.heads()).double()
    numbers, positions = ethanol
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    given = [collate([numbers], [x], torch.float64) for x in (positions, positions @ turn)]
    one, two = map(model, given)
    torch.testing.assert_close(two["forces"], one["forces"] @ torch.from_numpy(turn))
    torch.testing.assert_close(two["energy"], one["energy"])
    assert one["forces"].abs().max() > 1e-4 and model.per_atom == ("forces",)
    model(given[0], training=True)["forces"].sum().backward()
    assert model.heads["forces"].combine.weight.grad.abs().sum() > 0
    with pytest.raises(UserError, match=r"backbone schnet: direct forces are made of .* vectors"):
        Network(BACKBONE | {"name": "schnet"}, objective.heads())


def test_names_that_a_target_cannot_have_are_told():
    for names, message in (
        (["forces", "gap"], "head 'forces': this name is not for a head of kind property"),
        (["binding", "gap"], "head 'binding': this name"),
        (["keys", "gap"], "head 'keys': a model cannot call it so"),
        (["a.b", "gap"], "head 'a.b': a model cannot"),
    ):
        heads = PropertyGeometry.of(target=names).heads()
        with pytest.raises(UserError, match=message):
            Network(BACKBONE, heads)


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_what_is_not_learnt_is_not_computed(ethanol, weight):
    """Displacements take their time, in training and when judged; with eq. 9 they are learnt."""
    objective = PropertyGeometry.of(target=["gap"], geometry_weight=weight)
    torch.manual_seed(0)
    model = Network(BACKBONE, objective.heads())
    asked = []
    model.heads["displacement"].register_forward_hook(lambda *_: asked.append(1))
    numbers, positions = ethanol
    batch = collate([numbers], [positions])
    batch.targets = {"gap": torch.ones(1)}
    batch.displacement = torch.ones_like(batch.positions)
    loss = objective.loss(model, batch)["loss"]
    assert len(asked) == (weight > 0)
    objective.predict(model, batch)
    assert len(asked) == (weight > 0)
    whole = model(batch, training=True)
    assert len(asked) == 1 + (weight > 0) and {"property", "displacement"} <= set(whole)
    if not weight:
        assert torch.equal(loss, (whole["property"] - 1).abs().mean())
