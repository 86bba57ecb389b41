"""Whole runs: what they leave on disk, and of which data."""

import csv
import json
from collections import Counter

import h5py
import numpy as np
import pytest
import torch
from ase import Atoms
from train_toys import SETTINGS

import force2geo
from force2geo.errors import UserError
from force2geo.potentials import checkpoint
from force2geo.potentials.models import Network
from force2geo.store.level import Level
from force2geo.train import runs
from force2geo.train.molecules import Molecules
from force2geo.train.objectives.energy_forces import EnergyForces
from force2geo.train.objectives.property import PropertyGeometry
from force2geo.train.registry import of_record
from force2geo.train.snapshots import Snapshots
from force2geo.train.sources import SNAPSHOTS
from force2geo.training_data.packed import PackedWriter

BACKBONE = {"name": "painn", "layers": 1, "features": 8, "basis_size": 8, "cutoff": 4.5}
LOSS = {"energy": "mae", "forces": "mae", "energy_weight": 1.0, "force_weight": 1.0,
        "energy_per_atom": True}  # fmt: skip
UNTRACKED = {"uri": "", "experiment": "x"}
POTENTIAL = SETTINGS | {
    "objective": "energy_forces", "epochs": 2, "backbone": BACKBONE, "tracking": UNTRACKED,
    "reference": "per_element", "loss": LOSS,
}  # fmt: skip
PROPERTY = SETTINGS | {
    "objective": "property", "target": "gap", "epochs": 1, "backbone": BACKBONE,
    "tracking": UNTRACKED, "geometry_weight": 0.0,
}  # fmt: skip
STILL = {"name": "adam", "learning_rate": 0.0, "betas": [0.9, 0.999], "weight_decay": 0.0}


def potential(packed, target, judged_on=None, **changes):
    record = POTENTIAL | changes
    sets = SNAPSHOTS.sets(packed, judged_on)
    runs.train("pretrain", of_record(record, "x"), sets, record, [], target)


def predictions(target):
    with np.load(target.with_name("predictions.npz"), allow_pickle=False) as file:
        return dict(file)


@pytest.mark.parametrize("batch_atoms", [None, 12])
def test_predictions_are_the_saved_model_s_of_each_split_in_the_data_s_order(
    packed, tmp_path, batch_atoms
):
    target = tmp_path / "model.pt"
    potential(packed, target, batch_atoms=batch_atoms)
    model, found = force2geo.load(target), predictions(target)
    model.network.config["charge_states"] = [[0, 1], [0, 2]]  # drawn atoms may be a radical
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    with h5py.File(tmp_path / "x.h5") as file:
        columns = {name: file[name][:] for name in file}
    ptr = columns["ptr"]
    for split, code in (("val", 1), ("test", 2)):
        rows = np.flatnonzero(columns["split"] == code)
        atoms = np.concatenate([np.arange(ptr[row], ptr[row + 1]) for row in rows])
        np.testing.assert_array_equal(found[f"{split}/energy_true"], columns["energy"][rows])
        np.testing.assert_array_equal(found[f"{split}/forces_true"], columns["forces"][atoms])
        np.testing.assert_array_equal(found[f"{split}/cid"], columns["cid"][rows])
        np.testing.assert_array_equal(found[f"{split}/atoms"], np.diff(ptr)[rows])
        parts = [slice(ptr[row], ptr[row + 1]) for row in rows]
        molecules = [
            Atoms(numbers=columns["atomic_numbers"][p], positions=columns["positions"][p])
            for p in parts
        ]
        expected = model.predict(molecules)
        np.testing.assert_allclose(
            found[f"{split}/energy"], [one["energy"] for one in expected], atol=1e-3
        )
        forces = np.concatenate([one["forces"] for one in expected])
        np.testing.assert_allclose(found[f"{split}/forces"], forces, atol=1e-3)
        off = forces - columns["forces"][atoms]
        assert metrics[split]["force_rmse"] == pytest.approx(
            1e3 * np.sqrt((off**2).mean()), rel=1e-3
        )
        assert metrics["sizes"][split] == len(rows)
    # The model that is kept is the one with the best epoch's validation.
    best = min(row["val_force_rmse"] for row in metrics["history"])
    assert metrics["val"]["force_rmse"] == pytest.approx(best, rel=1e-5)
    with (tmp_path / "metrics.csv").open() as handle:
        rows = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(handle)]
    assert rows == metrics["history"] and len(rows) == 2
    assert not list(tmp_path.glob(".*")) and metrics["left_out"] == {}


def test_batches_to_judge_on_keep_to_the_budget_of_atoms(packed, tmp_path, monkeypatch):
    sizes, plain = [], Network.forward

    def forward(self, batch, training=False):
        sizes.append((training, len(batch.positions)))
        return plain(self, batch, training)

    monkeypatch.setattr(Network, "forward", forward)
    potential(packed, tmp_path / "model.pt", batch_atoms=7)
    assert {training for training, _ in sizes} == {True, False}
    assert max(atoms for _, atoms in sizes) <= 7


def test_references_are_those_of_the_training_set_alone(packed, tmp_path):
    train, numbers = [], packed.atomic_numbers.numpy()
    for row in range(len(packed)):
        atoms = numbers[packed.ptr[row] : packed.ptr[row + 1]]
        if packed.split[row] == 0:
            train.append([(atoms == z).sum() for z in (1, 6, 8)])
        else:
            packed.energy[row] += 1000.0
    energies = packed.energy.numpy()[packed.split.numpy() == 0]
    expected = np.linalg.lstsq(np.array(train, dtype=float), energies, rcond=None)[0]
    potential(packed, tmp_path / "model.pt", epochs=1)
    found = checkpoint.load(tmp_path / "model.pt").network.energy.references
    np.testing.assert_allclose(found[[1, 6, 8]], expected, rtol=1e-9)


def test_elements_not_trained_on_are_left_out_of_judging_and_said(tmp_path, capsys):
    writer = PackedWriter(tmp_path / "x.h5", ["dft_1st"])
    for number, (other, split) in enumerate(
        [(8, "train"), (8, "val"), (9, "val"), (8, "test"), (17, "test"), (9, "test")]
    ):
        positions = np.array([[[0.0, 0, 0], [0, 0, 1.0]]] * 2)
        writer.add(
            f"{number:09d}", np.array([1, other]), positions, np.array([-5.0, -5.1]),
            0 * positions, "dft_1st", split,
        )  # fmt: skip
    writer.close()
    with h5py.File(tmp_path / "x.h5", "a") as file:
        file["charge"][0] = -1
    target = tmp_path / "model.pt"
    potential(Snapshots.read(tmp_path / "x.h5"), target, epochs=1)
    metrics, found = json.loads((tmp_path / "metrics.json").read_text()), predictions(target)
    assert metrics["sizes"] == {"train": 2, "val": 2, "test": 2}
    assert found["test/cid"].tolist() == [b"000000003"] * 2
    assert metrics["left_out"] == {
        "val": {"training has not seen F": 2},
        "test": {"training has not seen F": 2, "training has not seen Cl": 2},
    }
    said = capsys.readouterr().err
    assert "left out of test: 2 (training has not seen F), 2 (training has not seen Cl)" in said
    model = force2geo.load(target)
    assert model.known_elements() == {1, 8}
    assert model.network.config["charge_states"] == [[-1, 1], [0, 1]]
    assert not model.refusal(np.array([1, 8]), -1, 1) and model.refusal(np.array([1, 8]), 1, 1)


def test_a_set_to_judge_on_of_strange_elements_alone_is_refused(packed, tmp_path):
    packed.atomic_numbers[:] = torch.where(
        torch.repeat_interleave(packed.split == 2, packed.ptr.diff()), 9, packed.atomic_numbers
    ).to(torch.uint8)
    with pytest.raises(UserError, match="test: nothing in it is of the elements and charges"):
        potential(packed, tmp_path / "model.pt")


def test_what_fails_after_training_costs_no_training(packed, tmp_path, monkeypatch):
    target, losses = tmp_path / "model.pt", []
    plain = EnergyForces.loss

    def loss(*args):
        losses.append(1)
        return plain(*args)

    monkeypatch.setattr(EnergyForces, "loss", loss)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", full)
        with pytest.raises(OSError, match="No space"):
            potential(packed, target)
    assert len(losses) == 12 and not target.exists()
    potential(packed, target)
    assert len(losses) == 12 and target.exists()
    assert not list(tmp_path.glob(".*"))


def test_outputs_are_on_disk_when_the_tracker_is_told(packed, tmp_path, monkeypatch):
    seen = {}

    class Tracker(runs.MLflowTracking):
        def __init__(self, *_):
            pass

        def state_dict(self):
            return {}

        def on_train_start(self, *_):
            pass

        def on_validation_end(self, *_):
            seen["rows"] = len((tmp_path / "metrics.csv").read_text().splitlines()) - 1

        def finish(self, artifacts):
            names = ["model.pt", "metrics.json", "predictions.npz"]
            seen["files"] = [(tmp_path / name).exists() for name in names]
            seen["state"] = (tmp_path / ".model.pt.unfinished").exists()
            assert artifacts == [tmp_path / "model.pt", tmp_path / "metrics.json"]

    monkeypatch.setattr(runs, "MLflowTracking", Tracker)
    potential(packed, tmp_path / "model.pt", tracking={"uri": "x", "experiment": "x"})
    assert seen == {"rows": 2, "files": [True] * 3, "state": True}
    assert not (tmp_path / ".model.pt.unfinished").exists()


def test_a_backbone_that_lacks_a_setting_or_knows_it_not_is_named(packed, tmp_path):
    for backbone, name in (
        ({k: v for k, v in BACKBONE.items() if k != "basis_size"}, "basis_size"),
        (BACKBONE | {"lmax": 2}, "lmax"),
    ):
        with pytest.raises(UserError, match=name):
            potential(packed, tmp_path / "model.pt", backbone=backbone)


def molecules(numbers=((8, 1, 1),) * 6, gap=None, states=None, **options):
    rng = np.random.default_rng(1)
    positions = [1.5 * rng.normal(size=(len(z), 3)) for z in numbers]
    gap = np.linspace(3.0, 8.0, len(numbers)) if gap is None else gap
    return Molecules.of(
        [np.array(z) for z in numbers], {"gap": gap}, positions, positions, units={"gap": "eV"},
        cid=[f"{i:09d}" for i in range(len(numbers))], states=states, **options,
    )  # fmt: skip


def prop(target, sets=None, start=None, **changes):
    sets = sets or {name: molecules() for name in ("train", "val", "test")}
    record = PROPERTY | changes
    runs.train("property", of_record(record, "x"), sets, record, [], target, start)


def test_force2prop_starts_from_the_potential_s_backbone_and_says_so(packed, tmp_path):
    wide = BACKBONE | {"features": 12, "layers": 2}
    potential(packed, tmp_path / "start" / "model.pt", backbone=wide, epochs=1)
    start = checkpoint.load(tmp_path / "start" / "model.pt").network
    prop(tmp_path / "model.pt", start=tmp_path / "start" / "model.pt", optimizer=STILL, ema=0.0)
    model = checkpoint.load(tmp_path / "model.pt")
    for (name, one), two in zip(
        start.backbone.state_dict().items(),
        model.network.backbone.state_dict().values(), strict=True,
    ):  # fmt: skip
        assert torch.equal(one, two), name
    assert model.provenance["settings"]["backbone"] == wide
    # The head is new and of the property's own scale.
    np.testing.assert_allclose(float(model.network.property_head().mean), 5.5)
    np.testing.assert_allclose(
        float(model.network.property_head().deviation), np.linspace(3, 8, 6).std()
    )


def test_a_model_knows_the_levels_it_was_trained_on(tmp_path):
    writer = PackedWriter(tmp_path / "x.h5", ["dft_1st"])
    rng = np.random.default_rng(0)
    for number, split in enumerate(("train", "val", "test")):
        positions = 1.5 * rng.normal(size=(2, 3, 3))
        args = np.array([8, 1, 1]), positions, np.zeros(2), np.zeros((2, 3, 3))
        writer.add(f"{number:09d}", *args, "dft_1st", split)
    gamess = Level("gamess", "b3lyp(vwn5)", "6-31g*", False)
    writer.close(levels=Counter({Level("mopac", "pm3", "", None): 2, gamess: 4}))
    names = ["gamess b3lyp(vwn5)/6-31g*, Cartesian", "mopac pm3"]
    potential(Snapshots.read(tmp_path / "x.h5"), tmp_path / "a" / "model.pt", epochs=1)
    model = force2geo.load(tmp_path / "a" / "model.pt")
    assert model.network.config["levels"] == names
    assert f"level of theory: {', '.join(names)}\n" in repr(model)
    prop(tmp_path / "b" / "model.pt", start=tmp_path / "a" / "model.pt")
    prop(tmp_path / "c" / "model.pt", start=tmp_path / "b" / "model.pt")
    for folder in "bc":
        model = force2geo.load(tmp_path / folder / "model.pt")
        assert f"level of theory of its potential: {', '.join(names)}\n" in repr(model)


def test_a_start_of_the_wrong_kind_is_refused(packed, tmp_path):
    potential(packed, tmp_path / "a" / "model.pt", epochs=1)
    prop(tmp_path / "b" / "model.pt")
    for folder, mixed in (("a", True), ("b", False)):
        with pytest.raises(UserError, match=r"holds a .* model, the recipe starts from another"):
            prop(tmp_path / "model.pt", start=tmp_path / folder / "model.pt", mixed=mixed)


def test_geometry_fine_tuning_starts_from_all_of_the_property_model(tmp_path):
    prop(tmp_path / "a" / "model.pt")
    shifted = {name: molecules(gap=np.full(6, 2.0)) for name in ("train", "val", "test")}
    prop(tmp_path / "b" / "model.pt", shifted, tmp_path / "a/model.pt", optimizer=STILL, ema=0.0)
    one, two = (checkpoint.load(tmp_path / name / "model.pt").network for name in "ab")
    assert one.kind == "property"
    for (name, weights), again in zip(
        one.state_dict().items(), two.state_dict().values(), strict=True
    ):
        assert torch.equal(weights, again), name


def test_property_predictions_are_of_their_molecules_and_metrics_their_mean_error(tmp_path):
    sets = {name: molecules() for name in ("train", "val")}
    sets["test"] = molecules([(8, 1, 1), (8, 8), (8, 8, 1, 1)], np.array([1.0, 2.0, 4.0]))
    prop(tmp_path / "model.pt", sets, batch_atoms=4)
    found = predictions(tmp_path / "model.pt")
    assert found["test/cid"].tolist() == [b"000000000", b"000000001", b"000000002"]
    assert found["test/property_true"].tolist() == [1.0, 2.0, 4.0]
    data = sets["test"]
    parts = [slice(int(a), int(b)) for a, b in zip(data.ptr[:-1], data.ptr[1:], strict=True)]
    model = force2geo.load(tmp_path / "model.pt")
    model.network.config["charge_states"] = [[0, 1], [0, 2]]  # OH is a radical
    expected = model.predict(
        [Atoms(data.atomic_numbers[p].numpy(), data.fixed[p].numpy()) for p in parts]
    )
    np.testing.assert_allclose(
        found["test/property"], [row["property"] for row in expected], atol=1e-5
    )
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    off = np.abs(found["test/property"] - [1.0, 2.0, 4.0])
    assert metrics["test"] == {"property_mae": pytest.approx(off.mean(), rel=1e-6)}


def test_property_models_know_what_they_have_seen(tmp_path):
    train = molecules([(8, 1, 1), (6, 1, 1, 1, 1), (8, 1)], states=[[0, 1], [0, 1], [-1, 1]])
    val = molecules([(8, 1, 1), (9, 1), (8, 1, 1)], states=[[0, 1], [0, 1], [1, 2]])
    prop(tmp_path / "model.pt", {"train": train, "val": val, "test": molecules()})
    model = force2geo.load(tmp_path / "model.pt")
    assert model.known_elements() == {1, 6, 8}
    assert model.network.config["charge_states"] == [[-1, 1], [0, 1]]
    with pytest.raises(UserError, match="never seen F"):
        model.predict([Atoms("HF", positions=[[0, 0, 0], [0, 0, 1]])])
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["left_out"] == {
        "val": {
            "training has not seen F": 1,
            "training has not seen charge +1 with multiplicity 2": 1,
        }
    }
    assert predictions(tmp_path / "model.pt")["val/cid"].tolist() == [b"000000000"]
    strange = {"train": molecules(), "val": molecules([(9, 1)]), "test": molecules()}
    with pytest.raises(UserError, match="val: nothing in it is of the elements"):
        prop(tmp_path / "other.pt", strange)


def test_displacements_need_a_backbone_with_vectors(tmp_path):
    schnet = BACKBONE | {"name": "schnet"}
    paths = [np.zeros((1, 3, 3))] * 6
    sets = {name: molecules() for name in ("val", "test")} | {"train": molecules(paths=paths)}
    with pytest.raises(UserError, match=r"property.geometry_weight: backbone 'schnet'"):
        prop(tmp_path / "model.pt", sets, backbone=schnet, geometry_weight=0.1)
    prop(tmp_path / "model.pt", sets, backbone=schnet)


def test_a_training_set_of_one_value_still_learns(tmp_path):
    prop(
        tmp_path / "model.pt", {n: molecules(gap=np.full(6, 4.0)) for n in ("train", "val", "test")}
    )
    network = checkpoint.load(tmp_path / "model.pt").network
    assert (
        float(network.property_head().mean) == 4.0
        and float(network.property_head().deviation) == 1.0
    )


def test_property_mae_is_a_mean_of_sizes():
    found = {
        "property": torch.tensor([1.0, 5.0, 2.0]), "property_true": torch.tensor([4.0, 1.0, 2.0])
    }  # fmt: skip
    objective = PropertyGeometry.of(target=["gap"])
    sums = {key: float(value) for key, value in objective.sums(None, found).items()}
    assert objective.metrics(sums) == {"property_mae": pytest.approx(7 / 3)}


def test_time_of_an_epoch_is_the_median_and_every_weight_is_counted(packed, tmp_path, monkeypatch):
    plain = runs.fit

    def fit(*args, **more):
        network, history = plain(*args, **more)
        for row, seconds in zip(history, (9.0, 2.0, 4.0), strict=True):
            row["seconds"] = seconds
        return network, history

    monkeypatch.setattr(runs, "fit", fit)
    potential(packed, tmp_path / "model.pt", epochs=3)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["seconds_per_epoch"] == 4.0 and metrics["epochs"] == 3
    # 101 elements; a message's two layers and its filters; an update's mixing without bias and its
    # two layers; the head's two.
    message = (8 * 8 + 8) + (8 * 24 + 24) + (8 * 24 + 24)
    update = 8 * 16 + (16 * 8 + 8) + (8 * 24 + 24)
    assert metrics["parameters"] == 101 * 8 + message + update + (8 * 4 + 4) + (4 * 1 + 1)
