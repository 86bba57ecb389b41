"""Objectives, data, references and resuming."""

import numpy as np
import pytest
import torch

from force2geo.errors import UserError
from force2geo.potentials.batch import collate
from force2geo.potentials.models import Potential
from force2geo.store.packed import PackedWriter
from force2geo.train import engine, losses
from force2geo.train.geometry_mix import Molecules
from force2geo.train.loader import BatchLoader
from force2geo.train.objectives import EnergyForces, PropertyGeometry
from force2geo.train.references import fit_references
from force2geo.train.snapshots import Snapshots

BACKBONE = {"name": "painn", "layers": 1, "features": 8, "basis_size": 8, "cutoff": 4.5}


@pytest.fixture
def packed(tmp_path):
    """Springs: energies and forces of a harmonic toy, 12 molecules in three splits."""
    rng = np.random.default_rng(0)
    writer = PackedWriter(tmp_path / "x.h5", ["dft_1st", "dft_points"])
    for number in range(12):
        numbers = rng.choice([1, 6, 8], size=rng.integers(2, 6))
        centre = 1.5 * rng.normal(size=(len(numbers), 3))
        moves = 0.1 * rng.normal(size=(4, len(numbers), 3))
        energy = -10.0 * numbers.sum() + (moves**2).sum(axis=(1, 2))
        split = ("train", "train", "val", "test")[number % 4]
        source = ("dft_1st", "dft_points")[number % 2]
        writer.add(f"{number:09d}", numbers, centre + moves, energy, -2 * moves, source, split)
    writer.close()
    return Snapshots.read(tmp_path / "x.h5")


def test_batches_hold_the_rows_asked_for(packed):
    batch = packed.batch(np.array([5, 0, 47]))
    assert batch.size == 3
    for place, row in enumerate((5, 0, 47)):
        part = slice(packed.ptr[row], packed.ptr[row + 1])
        mine = slice(int(batch.ptr[place]), int(batch.ptr[place + 1]))
        np.testing.assert_array_equal(batch.positions[mine], packed.positions[part])
        np.testing.assert_array_equal(batch.forces[mine], packed.forces[part])
        assert float(batch.energy[place]) == packed.energy[row]
        assert (batch.molecule[mine] == place).all()


def test_splits_and_sources_partition(packed):
    parts = [len(packed.where(split)) for split in ("train", "val", "test")]
    assert parts == [24, 12, 12] and len(packed.where("val", "dft_1st")) == 12
    assert len(packed.where("val", "dft_points")) == 0
    assert len(packed.where("train", "absent")) == 0


def test_every_item_comes_once_in_an_order_of_seed_and_epoch(packed):
    def order(seed, epoch):
        return [float(e) for b in BatchLoader(packed, 7, seed, epoch, True) for e in b.energy]

    assert sorted(order(1, 0)) == sorted(packed.energy.tolist())
    assert order(1, 0) == order(1, 0) != order(1, 1)


def test_references_explain_energies_linear_in_composition(packed):
    references = fit_references(packed.where("train"), "per_element")
    np.testing.assert_allclose(references[[1, 6, 8]], [-10, -60, -80], atol=0.5)
    assert len(set(fit_references(packed, "mean"))) == 1


def test_energy_force_loss_is_equations_4_to_6(packed):
    torch.manual_seed(0)
    model = Potential(BACKBONE)
    batch = packed.batch(np.arange(8))
    output = model(batch)
    energy = (output["energy"] - batch.energy).abs().mean()
    force = torch.sqrt(((output["forces"] - batch.forces) ** 2).sum(dim=1).mean())
    loss = EnergyForces("mae", "rmse", 0.5, 2.0, energy_per_atom=False).loss(model, batch)
    torch.testing.assert_close(loss["loss"].double(), 0.5 * energy + 2.0 * force, rtol=1e-5, atol=0)
    per_atom = EnergyForces("mae", "rmse", 1.0, 0.0, energy_per_atom=True).loss(model, batch)[
        "energy"
    ]
    expected = ((output["energy"] - batch.energy).abs() / batch.atoms_per_molecule).mean()
    torch.testing.assert_close(per_atom.double(), expected, rtol=1e-5, atol=0)


def test_losses_by_name_match_their_definitions():
    errors = torch.tensor([[3.0, 4.0, 0.0], [0.0, 0.1, 0.0]], dtype=torch.float64)
    weights = torch.tensor([1.0, 2.0], dtype=torch.float64)
    expected = {
        "mae": (5 + 2 * 0.1) / 2, "mse": (25 + 2 * 0.01) / 2, "rmse": ((25 + 0.02) / 2) ** 0.5,
        "huber": (5 - 0.25 + 2 * 0.01 / (2 * 0.5)) / 2,
    }  # fmt: skip
    for name, value in expected.items():
        assert float(losses.of_vectors(name, errors, weights, 0.5)) == pytest.approx(value, 1e-6)
        plain = losses.of_vectors(name, errors, torch.ones_like(weights), 0.5)
        assert float(losses.of_numbers(name, errors.norm(dim=1), 0.5)) == pytest.approx(
            float(plain), 1e-6
        )
    with pytest.raises(UserError, match="mae, mse, rmse, huber"):
        losses.check_loss("l3")


def test_metrics_are_per_atom_and_per_component():
    predictions = {
        "energy": np.array([1.0, 2.0]), "energy_true": np.array([1.3, 2.0]),
        "atoms": np.array([3, 5]), "forces": np.zeros((2, 3)),
        "forces_true": np.array([[3.0, 0, 0], [0, 4.0, 0]]),
    }  # fmt: skip
    found = EnergyForces("mae", "rmse", 1, 1, True).metrics(predictions)
    assert found["energy_mae"] == pytest.approx(50.0)
    assert found["force_mae"] == pytest.approx(1e3 * 7 / 6)
    assert found["force_rmse"] == pytest.approx(1e3 * np.sqrt(25 / 6))
    assert found["force_rmse_zero"] == found["force_rmse"]


def test_geometry_loss_is_one_minus_cosine():
    class Fixed:
        def __call__(self, batch, training=False):
            right_angle = torch.tensor([[0.0, 1, 0], [0, 1, 0], [1, 0, 0]])
            return {"property": torch.zeros(1), "displacement": right_angle}

    batch = collate([np.array([8, 1, 1])], [np.zeros((3, 3))])
    batch.property_value = torch.tensor([2.0])
    batch.displacement = torch.tensor([[0.0, 2, 0], [1, 0, 0], [0, 0, 0]])
    loss = PropertyGeometry(0.5).loss(Fixed(), batch)
    # Cosines 1 and 0; the third atom does not move and is left out.
    assert float(loss["geometry"]) == pytest.approx(0.5)
    assert float(loss["loss"]) == pytest.approx(2.0 + 0.5 * 0.5)


def test_mix_is_half_and_half_by_structure_and_targets_point_to_the_truth():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(4, 3))
    path = np.array([truth + 5.0 + 0.01 * k * rng.normal(size=(4, 3)) for k in range(1, 4)])
    data = Molecules(
        atomic_numbers=[np.array([6, 1, 1, 8])] * 400, gap=np.ones(400), fixed=[truth] * 400,
        truth=[truth] * 400, paths=[path] * 400, noise=0.1,
    )  # fmt: skip
    batch = data.batch(np.arange(400), np.random.default_rng(1))
    inputs = batch.positions.numpy().reshape(400, 4, 3)
    target = inputs + batch.displacement.numpy().reshape(400, 4, 3)
    from_path = inputs.mean(axis=(1, 2)) - truth.mean() > 2.5
    assert 160 < from_path.sum() < 240
    np.testing.assert_allclose(target[~from_path], np.broadcast_to(truth, target[~from_path].shape),
                               atol=1e-5)  # fmt: skip
    noise = (inputs - truth)[~from_path]
    assert noise.std() == pytest.approx(0.1, rel=0.1)
    # Frames lie 5 Å away: the truth is moved onto them before it becomes a target.
    moved = batch.displacement.numpy().reshape(400, 4, 3)[from_path]
    assert np.abs(moved).max() < 0.2


SETTINGS = {
    "batch_size": 4, "seed": 3, "ema": 0.9, "epochs": 4, "gradient_clip": 10.0,
    "optimizer": {"name": "adam", "learning_rate": 0.01, "betas": [0.9, 0.999],
                  "weight_decay": 0.0},
    "schedule": {"name": "plateau", "factor": 0.5, "patience": 0},
}  # fmt: skip


class KilledError(Exception):
    pass


def train(packed, scratch, die_at=None, keep_every=600.0, **changes):
    torch.manual_seed(0)
    objective = EnergyForces("mae", "rmse", 1.0, 1.0, True)
    model = Potential(BACKBONE)
    references = fit_references(packed.where("train"), "per_element")
    model.head.references.copy_(torch.from_numpy(references))
    calls = {"n": 0}
    plain = objective.loss

    def loss(*args):
        calls["n"] += 1
        if calls["n"] == die_at:
            raise KilledError
        return plain(*args)

    objective.loss = loss
    sets = packed.where("train"), packed.where("val")
    return engine.fit(model, objective, *sets, SETTINGS | changes, scratch, keep_every=keep_every)


def test_training_lowers_the_error_and_a_killed_run_resumes_to_the_same_weights(packed, tmp_path):
    whole, history = train(packed, tmp_path / "a")
    assert history[-1]["train_loss"] < history[0]["train_loss"] and len(history) == 4
    with pytest.raises(KilledError):
        train(packed, tmp_path / "b", die_at=16)
    assert (tmp_path / "b" / "last.ckpt").exists()
    resumed, history_resumed = train(packed, tmp_path / "b")
    assert not (tmp_path / "b").exists()
    assert [row["epoch"] for row in history_resumed] == [0, 1, 2, 3]
    for (name, one), two in zip(
        whole.state_dict().items(), resumed.state_dict().values(), strict=True
    ):
        assert torch.equal(one, two), name


SCHEDULES = (
    {"name": "plateau", "factor": 0.5, "patience": 0},
    {"name": "step", "step_size": 1, "gamma": 0.7},
    {"name": "cosine", "warmup": 0.2},
)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: s["name"])
@pytest.mark.parametrize("die_at", [3, 16])
def test_run_killed_in_the_middle_of_an_epoch_resumes_to_the_last_bit(
    packed, tmp_path, schedule, die_at
):
    whole, history = train(packed, tmp_path / "a", schedule=schedule)
    with pytest.raises(KilledError):
        train(packed, tmp_path / "b", die_at, keep_every=0.0, schedule=schedule)
    kept = torch.load(tmp_path / "b" / engine.MIDDLE, weights_only=True)
    assert kept["progress"]["done"] == (die_at - 1) % 6  # six batches an epoch
    resumed, history_resumed = train(packed, tmp_path / "b", schedule=schedule)
    for one, two in zip(history, history_resumed, strict=True):
        assert one | {"seconds": 0} == two | {"seconds": 0}
    for (name, one), two in zip(
        whole.state_dict().items(), resumed.state_dict().values(), strict=True
    ):
        assert torch.equal(one, two), name
