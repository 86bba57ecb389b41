"""Denoising: the noise is what was drawn, its metrics are those of plain arithmetic, it learns."""

import json

import numpy as np
import pytest
import torch
from train_toys import SETTINGS

from force2geo.cli import main
from force2geo.potentials.batch import collate
from force2geo.potentials.models import Network
from force2geo.train.objectives.denoising import Denoising

BACKBONE = {"name": "painn", "layers": 1, "features": 16, "basis_size": 16, "cutoff": 4.5}


@pytest.fixture
def batch(ethanol):
    numbers, positions = ethanol
    return collate([numbers, numbers[:3]], [positions, positions[:3]], torch.float64)


def told(fraction):
    """A network that tells so much of the noise, of which it knows where atoms were."""

    def model(shaken, training=False):
        return {"displacement": fraction * shaken.displacement}

    return model


def test_what_is_shaken_leads_back(batch):
    objective = Denoising.of(noise=0.3)
    shaken = objective.prepare(batch, torch.Generator().manual_seed(3))
    expected = 0.3 * torch.randn(
        batch.positions.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64
    )
    torch.testing.assert_close(shaken.positions, batch.positions + expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(
        shaken.positions + shaken.displacement, batch.positions, rtol=0, atol=1e-12
    )
    assert shaken.energy is None and shaken.forces is None


def test_the_loss_is_in_deviations_and_metrics_in_angstrom(batch):
    objective = Denoising.of(noise=0.3)
    shaken = objective.prepare(batch, torch.Generator().manual_seed(3))
    noise = (shaken.positions - batch.positions).numpy()
    loss = float(objective.loss(told(0.25), shaken)["loss"])
    assert loss == pytest.approx(np.mean((0.75 * noise / 0.3) ** 2), rel=1e-12)
    found = objective.predict(told(0.25), batch)
    true = found["noise_true"].numpy()
    torch.testing.assert_close(found["noise"], 0.25 * found["noise_true"])
    sums = {key: float(value) for key, value in objective.sums(None, found).items()}
    metrics = objective.metrics(sums)
    zero = np.sqrt(np.mean(true**2))
    assert metrics["noise_rmse_zero"] == pytest.approx(zero, rel=1e-12)
    assert metrics["noise_rmse"] == pytest.approx(0.75 * zero, rel=1e-12)
    assert 0.2 < zero < 0.4 and set(objective.units(None)) == set(metrics)
    again = objective.predict(told(0.25), batch)
    assert torch.equal(again["noise_true"], found["noise_true"])


def test_a_network_learns_to_tell_noise(ethanol):
    numbers, positions = ethanol
    torch.manual_seed(0)
    objective = Denoising.of(noise=0.3)
    network = Network(BACKBONE, objective.heads())
    steps = torch.optim.Adam(network.parameters(), lr=5e-3)
    many, chance = collate([numbers] * 16, [positions] * 16), torch.Generator().manual_seed(1)
    losses = []
    for _ in range(60):
        loss = objective.loss(network, objective.prepare(many, chance))["loss"]
        steps.zero_grad()
        loss.backward()
        steps.step()
        losses.append(float(loss.detach()))
    # Nothing told is 1; how the molecule turned and moved as a whole, nobody can tell.
    assert np.mean(losses[:3]) > 0.9 and np.mean(losses[-10:]) < 0.75


def test_the_command_trains_it_and_keeps_what_it_told(packed, tmp_path):
    record = SETTINGS | {"objective": "denoising", "epochs": 2, "backbone": BACKBONE}
    (tmp_path / "s.json").write_text(json.dumps(record))
    (tmp_path / "a").mkdir()
    given = ["--data", str(tmp_path / "x.h5"), "--out", str(tmp_path / "a/model.pt")]
    assert main(["train", "--settings", str(tmp_path / "s.json"), *given]) == 0
    metrics = json.loads((tmp_path / "a/metrics.json").read_text())
    with np.load(tmp_path / "a/predictions.npz") as file:
        error = file["test/noise"] - file["test/noise_true"]
        true = file["test/noise_true"]
    expected = np.sqrt(np.mean(error.astype(float) ** 2))
    assert metrics["test"]["noise_rmse"] == pytest.approx(expected, rel=1e-6)
    assert true.std() == pytest.approx(0.2, rel=0.2)  # the default noise
