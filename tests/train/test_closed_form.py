"""Trainings whose every step, or whose end, is known beforehand."""

import csv

import numpy as np
import pytest
import torch
from train_toys import SETTINGS, Number, Springs, Square, Targets

from force2geo.train import engine
from force2geo.train.history import EpochTable
from force2geo.train.objectives.energy_forces import EnergyForces
from force2geo.train.snapshots import Snapshots
from force2geo.training_data.packed import PackedWriter

RATE, BETAS, CLIP, DECAY, START, TRUTH, JUDGE = 0.3, (0.8, 0.95), 1.5, 0.7, 0.0, 5.0, 1.7
EPOCHS, BATCHES = 6, 3


def path(rates):
    """The weight after each step of Adam (Kingma and Ba 2015, algorithm 1), gradients clipped."""
    weight, first, second, weights = START, 0.0, 0.0, []
    for step, rate in enumerate(rates, 1):
        slope = 2 * (weight - TRUTH)
        slope *= min(1.0, CLIP / (abs(slope) + 1e-6))  # as torch clips
        first = BETAS[0] * first + (1 - BETAS[0]) * slope
        second = BETAS[1] * second + (1 - BETAS[1]) * slope**2
        corrected = first / (1 - BETAS[0] ** step), second / (1 - BETAS[1] ** step)
        weight -= rate * corrected[0] / (np.sqrt(corrected[1]) + 1e-8)
        weights.append(weight)
    return np.array(weights)


def averaged(weights):
    """The moving average after each step; it begins as the first weights."""
    average = [weights[0]]
    for weight in weights[1:]:
        average.append(DECAY * average[-1] + (1 - DECAY) * weight)
    return np.array(average)


def cosine(steps, warm):
    rising = [(step + 1) / warm for step in range(warm)]
    falling = [0.5 * (1 + np.cos(np.pi * k / (steps - warm))) for k in range(steps - warm)]
    return RATE * np.array(rising + falling)


@pytest.mark.parametrize("ema", [0.0, DECAY])
def test_weights_average_rate_metric_and_choice_follow_the_formulas(tmp_path, ema):
    steps = EPOCHS * BATCHES
    rates = cosine(steps, 3)
    weights = path(rates)
    # The validation set's value is passed on the way, so that the best is not the last.
    kept = (averaged(weights) if ema else weights)[BATCHES - 1 :: BATCHES]
    errors = np.abs(kept - JUDGE)
    assert 0 < errors.argmin() < EPOCHS - 1
    settings = SETTINGS | {
        "batch_size": 2, "ema": ema, "epochs": EPOCHS, "gradient_clip": CLIP,
        "optimizer": {"name": "adam", "learning_rate": RATE, "betas": list(BETAS),
                      "weight_decay": 0.0},
        "schedule": {"name": "cosine", "warmup": 0.2},
    }  # fmt: skip
    table = EpochTable(tmp_path / "metrics.csv")
    network, history = engine.fit(
        Number(START), Square(), Targets([TRUTH] * 6), Targets([JUDGE] * 3), settings,
        tmp_path / "scratch", [table],
    )  # fmt: skip
    found = [row["val_property_mae"] for row in history]
    np.testing.assert_allclose(found, errors, rtol=1e-9)
    # The rate that the next step would take: none after the last.
    after = [*rates[BATCHES::BATCHES], 0.0]
    np.testing.assert_allclose([row["learning_rate"] for row in history], after, atol=1e-12)
    losses = (np.array([START, *weights[:-1]]) - TRUTH) ** 2
    means = losses.reshape(EPOCHS, BATCHES).mean(axis=1)
    np.testing.assert_allclose([row["train_loss"] for row in history], means, rtol=1e-9)
    assert float(network.value.detach()) == pytest.approx(kept[errors.argmin()], rel=1e-9)
    assert network.value.requires_grad
    with (tmp_path / "metrics.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    assert [float(row["val_property_mae"]) for row in rows] == found


def test_gradients_are_clipped_by_their_norm_over_all_weights():
    model = torch.nn.Linear(2, 1, bias=False)
    model.weight.grad = torch.tensor([[3.0, 4.0]])
    run = engine.Training(model, Square(), SETTINGS, Targets([0.0]), Targets([0.0]))
    run.configure_gradient_clipping(None, 1.0)
    torch.testing.assert_close(model.weight.grad, torch.tensor([[0.6, 0.8]]))
    run.configure_gradient_clipping(None, None)
    torch.testing.assert_close(model.weight.grad, torch.tensor([[0.6, 0.8]]))


def test_energies_and_forces_are_learnt_to_their_closed_form_optimum(tmp_path):
    """E = k Σ|x|² + c of noisy data: k and c of least squares over energies and forces."""
    rng = np.random.default_rng(5)
    writer = PackedWriter(tmp_path / "x.h5", ["dft_1st"])
    squares, energies, spread, slopes = [], [], 0.0, 0.0
    for number in range(6):
        positions = 0.5 * rng.normal(size=(4, 3, 3)).astype(np.float32).astype(float)
        energy = 1.3 * (positions**2).sum(axis=(1, 2)) - 4.0 + 0.05 * rng.normal(size=4)
        forces = -2.6 * positions + 0.05 * rng.normal(size=positions.shape)
        forces = forces.astype(np.float32).astype(float)
        split = "val" if number == 5 else "train"
        writer.add(
            f"{number:09d}", np.array([8, 1, 1]), positions, energy, forces, "dft_1st", split
        )
        if split == "train":
            squares.extend((positions**2).sum(axis=(1, 2)))
            energies.extend(energy)
            spread += 4 * (positions**2).sum()
            slopes += -2 * (positions * forces).sum()
    writer.close()
    snapshots, count = Snapshots.read(tmp_path / "x.h5"), len(energies)
    # d/dk and d/dc of mean (kS + c − E)² + mean |2kx + f|², twenty frames of three atoms.
    squares, energies = np.array(squares), np.array(energies)
    matrix = [
        [(squares**2).mean() + spread / (3 * count), squares.mean()],
        [squares.mean(), 1.0],
    ]
    right = [(squares * energies).mean() + slopes / (3 * count), energies.mean()]
    stiffness, shift = np.linalg.solve(matrix, right)
    settings = SETTINGS | {
        "batch_size": 20, "ema": 0.0, "epochs": 150, "gradient_clip": 0.0,
        "optimizer": {"name": "adam", "learning_rate": 0.1, "betas": [0.8, 0.95],
                      "weight_decay": 0.0},
        "schedule": {"name": "cosine", "warmup": 0.0},
    }  # fmt: skip

    class Last(EnergyForces):
        def metrics(self, sums):  # the last network is asked for, not the best
            self.calls = getattr(self, "calls", 0) + 1
            return super().metrics(sums) | {"force_rmse": -float(self.calls)}

    objective = Last.of(energy="mse", forces="mse", energy_per_atom=False)
    network, _ = engine.fit(
        Springs(1.0, -3.0), objective, snapshots.where("train"), snapshots.where("val"), settings,
        tmp_path / "scratch",
    )  # fmt: skip
    assert float(network.stiffness.detach()) == pytest.approx(stiffness, abs=1e-4)
    assert float(network.shift.detach()) == pytest.approx(shift, abs=1e-3)
