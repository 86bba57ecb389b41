"""What variants of trainings learn from and leave: sizes, shares, none, heads alone."""

import json

import numpy as np
import pytest
import torch
from train_toys import SETTINGS

from force2geo.cli import main
from force2geo.potentials import checkpoint
from force2geo.train.sources import SNAPSHOTS, Inputs
from force2geo.train.subsets import nested
from force2geo.training_data.conformers import Conformers, Target, write_conformers

BACKBONE = {"name": "painn", "layers": 1, "features": 8, "basis_size": 8, "cutoff": 4.5}
RECORD = SETTINGS | {
    "objective": "property", "target": "gap", "split": "random", "geometry": "dft", "start": None,
    "mixed": False, "epochs": 2, "backbone": BACKBONE,
}  # fmt: skip
CIDS = [f"{number:09d}" for number in range(24)]


@pytest.fixture
def given(tmp_path):
    """Twenty-four molecules; RDKit's geometry is another than DFT's."""
    rng = np.random.default_rng(0)
    positions = 1.5 * rng.normal(size=(72, 3))
    geometry = {"dft": positions, "hf": positions + 0.1, "rdkit": positions * 1.3}
    write_conformers(tmp_path / "c.h5", Conformers(
        CIDS, 3 * np.arange(25), np.tile([8, 1, 1], 24), {"gap": Target(np.arange(24.0), "eV")},
        geometry, np.zeros(24, int), np.ones(24, int),
    ))  # fmt: skip
    parts = {"train": CIDS[:12], "val": CIDS[12:18], "test": CIDS[18:]}
    (tmp_path / "selection.json").write_text(json.dumps({"random": parts}))
    return tmp_path


def train(folder, name, record, *more):
    target = folder / name / "model.pt"
    target.parent.mkdir()
    (folder / f"{name}.json").write_text(json.dumps(record))
    code = main([
        "train", "--settings", str(folder / f"{name}.json"), "--data", str(folder / "c.h5"),
        "--selection", str(folder / "selection.json"), "--out", str(target), *map(str, more),
    ])  # fmt: skip
    if code:
        return code
    with np.load(target.with_name("predictions.npz")) as file:
        return target, json.loads(target.with_name("metrics.json").read_text()), dict(file)


def test_less_is_part_of_more_whatever_stands_beside_it():
    few, more = nested(CIDS, 5), nested(CIDS, 11)
    assert len(few) == 5 and len(more) == 11 and set(few) < set(more) < set(CIDS)
    assert few == sorted(few) and few != CIDS[:5]
    assert nested(CIDS[::-1], 5) == few[::-1]
    # Of the molecules that are there, whichever others are there, too.
    assert set(nested(CIDS[:12], 12)) & set(more) == {cid for cid in more if cid in CIDS[:12]}
    assert nested([cid.encode() for cid in CIDS], 5) == [cid.encode() for cid in few]
    # Draws are about even over the range of names.
    many = [f"{number:09d}" for number in range(10_000)]
    first = sum(name < many[5_000] for name in nested(many, 2_000))
    assert 900 < first < 1100


def test_so_many_molecules_are_trained_on_and_all_judged(given):
    _, metrics, found = train(given, "few", RECORD | {"train_size": 5})
    assert metrics["sizes"] == {"train": 5, "val": 6, "test": 6}
    assert found["test/cid"].astype(str).tolist() == CIDS[18:]
    path, _, _ = train(given, "all", RECORD | {"train_size": 12})
    plain, _, _ = train(given, "plain", RECORD)
    one, other = (checkpoint.load(p).network.state_dict() for p in (path, plain))
    assert all(torch.equal(one[key], other[key]) for key in one)
    head = checkpoint.load(given / "few/model.pt").network.property_head()
    chosen = [float(CIDS.index(cid)) for cid in nested(CIDS[:12], 5)]
    assert float(head.mean) == pytest.approx(np.mean(chosen))


def test_more_than_there_are_is_an_error(given, capsys):
    assert train(given, "much", RECORD | {"train_size": 13}) == 2
    said = capsys.readouterr().err
    assert "train_size: 13, and the training part of the random split has 12 molecules" in said


def test_a_share_is_of_whole_molecules(packed, tmp_path):
    def snapshots(**record):
        return SNAPSHOTS.read(record | {"backbone": BACKBONE}, Inputs(tmp_path / "x.h5"))

    whole = snapshots()
    names = set(whole["train"].ids().tolist())
    assert len(names) == 6 and len(whole["train"]) == 24
    half, third = snapshots(train_share=0.5), snapshots(train_share=1 / 3)
    kept = [set(part["train"].ids().tolist()) for part in (third, half)]
    assert len(kept[0]) == 2 and len(kept[1]) == 3 and kept[0] < kept[1] < names
    assert len(half["train"]) == 12  # four snapshots each
    assert [len(half[part]) for part in ("val", "test")] == [
        len(whole[part]) for part in ("val", "test")
    ]  # fmt: skip
    assert len(snapshots(train_share=0.001)["train"]) == 4


def test_what_is_not_tuned_is_judged_as_it_starts(given):
    path, _, own = train(given, "start", RECORD)
    still = {"name": "adam", "learning_rate": 1e-30, "betas": [0.9, 0.999], "weight_decay": 0.0}
    elsewhere = {"geometry": "rdkit", "start": "start", "mixed": True}
    _, metrics, found = train(given, "untuned", RECORD | elsewhere | {"epochs": 0}, "--start", path)
    _, _, expected = train(
        given, "still", RECORD | elsewhere | {"optimizer": still}, "--start", path
    )
    np.testing.assert_allclose(found["test/property"], expected["test/property"], rtol=1e-6)
    assert np.abs(found["test/property"] - own["test/property"]).max() > 1e-3
    off = np.abs(found["test/property"] - found["test/property_true"]).mean()
    assert metrics["test"]["property_mae"] == pytest.approx(off, rel=1e-6)
    assert metrics["history"] == [] and metrics["epochs"] == 0
    assert "seconds_per_epoch" not in metrics
    one, other = (
        checkpoint.load(p).network.state_dict() for p in (path, given / "untuned/model.pt")
    )
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_of_a_frozen_network_the_heads_alone_learn(given):
    path, _, _ = train(given, "frozen", RECORD | {"frozen_backbone": True, "ema": 0.0})
    still = {"name": "adam", "learning_rate": 1e-30, "betas": [0.9, 0.999], "weight_decay": 0.0}
    begun, _, _ = train(given, "begun", RECORD | {"optimizer": still, "ema": 0.0})
    one, other = (checkpoint.load(p).network.state_dict() for p in (path, begun))
    moved = {key for key in one if not torch.allclose(one[key], other[key], atol=1e-7)}
    assert moved and all(key.startswith("heads.") for key in moved)


def test_from_scratch_too_the_way_to_the_true_geometry_is_learnt(given):
    """As Uni-Mol+ is trained: half noised truth, half RDKit's, displacements in the loss."""
    mixed = {"geometry": "rdkit", "mixed": True, "noise": 0.1, "geometry_weight": 10.0,
             "epochs": 60, "schedule": {"name": "step", "step_size": 99, "gamma": 0.5}}  # fmt: skip
    _, metrics, _ = train(given, "mixed", RECORD | mixed)
    geometry = [row["train_geometry"] for row in metrics["history"]]
    assert np.mean(geometry[-10:]) < 0.85  # 1 where nothing is known


def test_a_network_that_told_noise_can_be_a_start(packed, given):
    record = SETTINGS | {"objective": "denoising", "noise": 0.2, "epochs": 1, "backbone": BACKBONE,
                         "data": "x"}  # fmt: skip
    (given / "noise.json").write_text(json.dumps(record))
    target = given / "noise" / "model.pt"
    target.parent.mkdir()
    assert main([
        "train", "--settings", str(given / "noise.json"), "--data", str(given / "x.h5"),
        "--out", str(target),
    ]) == 0  # fmt: skip
    still = {"name": "adam", "learning_rate": 1e-30, "betas": [0.9, 0.999], "weight_decay": 0.0}
    tuned = RECORD | {"start": "noise", "mixed": None, "optimizer": still}
    path, _, _ = train(given, "tuned", tuned, "--start", target)
    one, other = (checkpoint.load(p).network.backbone.state_dict() for p in (target, path))
    assert all(torch.allclose(one[key], other[key]) for key in one)
