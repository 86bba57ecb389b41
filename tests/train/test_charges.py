"""Training on several charges: what batches carry, and what a network is said to know."""

import json

import h5py
import numpy as np
import pytest
from ase import Atoms
from train_toys import SETTINGS

import force2geo
from force2geo.errors import UserError
from force2geo.train import runs
from force2geo.train.registry import of_record
from force2geo.train.snapshots import Snapshots
from force2geo.train.sources import SNAPSHOTS
from force2geo.training_data.packed import PackedWriter

X = np.array([[[0.0, 0, 0], [0, 0, 1.0]]] * 2)
OH = np.array([1, 8])
RECORD = SETTINGS | {
    "objective": "energy_forces",
    "tracking": {"uri": "", "experiment": "x"},
    "reference": "mean",
    "epochs": 1,
    "loss": {
        "energy": "mae", "forces": "mse", "energy_weight": 0.0, "force_weight": 1.0,
        "energy_per_atom": False,
    },
}  # fmt: skip


def packed(path, *molecules):
    """Two snapshots of OH in each (charge, multiplicity), part and force apart (eV/Å)."""
    writer = PackedWriter(path, ["dft_1st"])
    for number, (state, part, force) in enumerate(molecules):
        apart = force * (2 * X - X.max(axis=1, keepdims=True))
        writer.add(f"{number:09d}", OH, X, np.full(2, -3.0), apart, "dft_1st", part, state)
    writer.close()
    return path


def train(path, target, name="painn", **changes):
    backbone = {"name": name, "layers": 1, "features": 8, "basis_size": 8, "cutoff": 4.5}
    record = RECORD | {"backbone": backbone | changes.pop("own", {})} | changes
    sets = SNAPSHOTS.sets(Snapshots.read(path), None)
    runs.train("pretrain", of_record(record, "x"), sets, record, [], target)
    return force2geo.load(target)


BOTH = [
    ((charge, 1), part, 1.0 * charge) for charge in (-1, 1) for part in ("train", "val", "test")
]  # fmt: skip


def test_batches_carry_charge_and_multiplicity(tmp_path):
    path = packed(tmp_path / "x.h5", ((0, 2), "train", 0.0), ((-1, 1), "train", 0.0))
    snapshots = Snapshots.read(path)
    batch = snapshots.batch(np.array([3, 0, 1]))
    assert batch.charge.tolist() == [-1, 0, 0] and batch.multiplicity.tolist() == [1, 2, 2]
    assert snapshots.charge_states() == [[-1, 1], [0, 2]]
    assert snapshots.batch(np.array([0])).charge.tolist() == [0]


def test_files_of_before_snapshots_had_charges(tmp_path):
    path = packed(tmp_path / "x.h5", ((0, 2), "train", 0.0), ((-1, 1), "train", 0.0))
    with h5py.File(path, "a") as file:
        del file["charge"], file["multiplicity"], file.attrs["charge_states"]
    batch = Snapshots.read(path).batch(np.arange(4))
    assert batch.charge.tolist() == [0] * 4 and batch.multiplicity.tolist() == [1] * 4
    with h5py.File(path, "a") as file:
        file.attrs["charge_states"] = [[-1, 1]]
    assert Snapshots.read(path).charge_states() == [[-1, 1]]
    with h5py.File(path, "a") as file:
        file.attrs["charge_states"] = [[0, 2], [-1, 1]]
    with pytest.raises(UserError, match=r"x\.h5: packed by an older version that kept no charges"):
        Snapshots.read(path)


def test_it_knows_what_it_was_trained_on_and_is_judged_on_that_alone(tmp_path, capsys):
    path = packed(tmp_path / "x.h5", *BOTH, ((1, 3), "val", 0.0), ((1, 3), "test", 0.0))
    model = train(path, tmp_path / "model.pt", own={"charge": True})
    assert model.charge_states() == [[-1, 1], [1, 1]]
    assert "charge +1 with multiplicity 3" in model.refusal(OH, 1, 3)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    lost = {"training has not seen charge +1 with multiplicity 3": 2}
    assert metrics["left_out"] == {"val": lost, "test": lost}
    assert metrics["sizes"] == {"train": 4, "val": 4, "test": 4}
    assert "told neither" not in capsys.readouterr().err


def test_training_tells_two_charges_apart(tmp_path):
    """The anion pulls where the cation pushes: who cannot tell does best to say nothing."""
    adam = {"name": "adam", "learning_rate": 0.03, "betas": [0.9, 0.999], "weight_decay": 0.0}
    path = packed(tmp_path / "x.h5", *BOTH)
    flat = {"name": "step", "step_size": 1000, "gamma": 0.5}
    changes = {"epochs": 60, "optimizer": adam, "schedule": flat, "ema": 0.0}
    model = train(path, tmp_path / "model.pt", own={"charge": True}, **changes)
    pair = [Atoms(OH, X[0], info={"charge": charge}) for charge in (-1, 1)]
    found = [row["forces"][1, 2] for row in model.predict(pair)]
    assert found == pytest.approx([-1.0, 1.0], abs=0.2)


@pytest.mark.parametrize(
    ("name", "own", "states", "said"),
    [
        ("painn", {}, BOTH, "'charge: true' in the settings of model painn tells it"),
        ("painn_published", {}, BOTH, "networks with the setting 'charge' are"),
        ("painn", {}, [one for one in BOTH if one[0] == (1, 1)], ""),
    ],
)
def test_a_network_that_cannot_tell_charges_apart_is_warned_of(
    tmp_path, capsys, name, own, states, said
):
    train(packed(tmp_path / "x.h5", *states), tmp_path / "model.pt", name, own=own)
    told = capsys.readouterr().err
    assert (said in told) and ("-1 with 1, +1 with 1" in told) == bool(said)
