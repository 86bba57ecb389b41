"""FAENet: the published network's numbers, its frames, and what happens where frames are no one's.

`tests/data/backbones/faenet.npz` has what the package faenet 0.1.3 gave, in float64 and with
neighbours under 4.5 Å, for ethanol, water and a heap of seven heavier atoms: energies averaged over
all frames of E(3) and SE(3), and forces that take the axes for fixed, with the weights it had.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from force2geo.potentials.backbones import faenet
from force2geo.potentials.batch import collate
from force2geo.potentials.models import Potential
from force2geo.potentials.registry import find

SMALL = {"layers": 2, "features": 16, "basis_size": 16, "cutoff": 4.5}
PUBLISHED = Path(__file__).parents[2] / "data/backbones/faenet.npz"
AMMONIA = (
    np.array([7, 1, 1, 1]),
    np.array(
        [[0.0, 0.0, 0.1]]
        + [[0.94 * np.cos(turn), 0.94 * np.sin(turn), -0.27] for turn in np.arange(3) * np.pi / 1.5]
    ),
)
METHANE = (
    np.array([6, 1, 1, 1, 1]),
    0.63 * np.array([[0, 0, 0], [1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]),
)
LINEAR = np.array([8, 6, 16]), np.array([[0.0, 0, 1.16], [0, 0, 0], [0, 0, -1.56]])


def made(**other):
    torch.manual_seed(2)
    return Potential({"name": "faenet", **SMALL, **other}).double().eval()


def evaluate(model, *molecules, **options):
    return model(collate(*zip(*molecules, strict=True), torch.float64), **options)


def close(found, expected, tolerance=1e-8):
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance)


def test_size_of_table_8():
    settings, batch_size = find("faenet").about.table8
    assert (settings["layers"], settings["features"], batch_size) == (4, 128, 64)


@pytest.mark.parametrize("group", ["e3", "se3"])
def test_gives_what_the_published_network_gives(group, monkeypatch):
    stored = np.load(PUBLISHED)
    ends = np.cumsum(stored["counts"])[:-1]
    molecules = zip(
        np.split(stored["numbers"], ends), np.split(stored["positions"], ends), strict=True
    )
    settings = {"layers": 3, "features": 12, "basis_size": 10, "cutoff": 4.5}
    model = Potential({"name": "faenet", **settings, "reflections": group == "e3"}).double().eval()
    weights = {
        key.removeprefix("weights."): torch.from_numpy(stored[key])
        for key in stored.files
        if key.startswith("weights.")
    }
    model.backbone.load_state_dict(weights)
    axes = faenet.principal_axes
    monkeypatch.setattr(faenet, "principal_axes", lambda *given: axes(*given).detach())
    found = evaluate(model, *molecules)
    close(found["binding"], torch.from_numpy(stored[f"energy_{group}"]), 1e-9)
    close(found["forces"], torch.from_numpy(stored[f"forces_{group}"]), 1e-9)
    assert float(found["forces"].abs().max()) > 1


def test_frames_without_reflections_tell_mirror_images_apart(ethanol):
    numbers, positions = ethanol
    positions = positions + np.random.default_rng(0).normal(0, 0.1, positions.shape)
    for reflections in (True, False):
        model = made(reflections=reflections)
        before = evaluate(model, (numbers, positions))
        rotation = Rotation.random(random_state=1).as_matrix()
        after = evaluate(model, (numbers, positions @ rotation))
        close(after["energy"], before["energy"])
        close(after["forces"], before["forces"] @ torch.from_numpy(rotation))
        mirrored = evaluate(model, (numbers, -positions))["energy"]
        assert (abs(float(mirrored - before["energy"])) < 1e-8) == reflections


def test_without_frames_it_matters_how_a_molecule_lies(ethanol):
    numbers, positions = ethanol
    model = made(frames="none")
    turned = positions @ Rotation.random(random_state=1).as_matrix()
    energy = evaluate(model, (numbers, positions), (numbers, positions + 3.0), (numbers, turned))
    energy = energy["energy"]
    close(energy[0], energy[1])
    assert abs(float(energy[2] - energy[0])) > 1e-4


def test_training_draws_one_frame_and_all_are_averaged_otherwise(ethanol):
    full, drawn = made(), made(frames="stochastic")
    close(evaluate(drawn, ethanol)["energy"], evaluate(full, ethanol)["energy"])
    drawn.train()
    with torch.random.fork_rng():
        torch.manual_seed(1)
        first = evaluate(drawn, *[ethanol] * 100)["binding"]
        second = evaluate(drawn, *[ethanol] * 100)["binding"]
        torch.manual_seed(1)
        again = evaluate(drawn, *[ethanol] * 100)["binding"]
    assert torch.equal(first, again) and not torch.equal(first, second)
    frames = np.unique(first.numpy().round(9))
    assert len(frames) == 8
    average = float(evaluate(full, ethanol)["binding"])
    assert frames.mean() == pytest.approx(average, abs=1e-8)


def test_axes_have_the_slopes_that_eigenvectors_have():
    skewed = torch.randn(2, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    matrices = (skewed + skewed.mT + torch.diag(torch.tensor([2.0, 9.0, 30.0]))).requires_grad_()

    def both(given):
        return faenet._Axes.apply((given + given.mT) / 2)

    assert torch.autograd.gradcheck(both, matrices, atol=1e-6)
    assert torch.autograd.gradgradcheck(both, matrices, atol=1e-6)


@pytest.mark.parametrize("molecule", [AMMONIA, METHANE, LINEAR, (np.array([6]), np.zeros((1, 3)))])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("reflections", [True, False])
def test_is_finite_where_axes_are_not_determined(molecule, dtype, reflections):
    model = made(reflections=reflections).to(dtype).train()
    batch = collate([molecule[0]], [molecule[1]], dtype)
    output = model(batch, training=True)
    (output["binding"].square().sum() + output["forces"].square().sum()).backward()
    assert torch.isfinite(output["binding"]).all()
    assert float(output["forces"].detach().abs().max()) < 10
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


@pytest.mark.parametrize("reflections", [True, False])
def test_a_linear_molecule_is_exact_all_the_same(reflections):
    model = made(reflections=reflections)
    numbers, positions = LINEAR
    turned = positions @ Rotation.random(random_state=1).as_matrix()
    before = evaluate(model, LINEAR)
    close(evaluate(model, (numbers, turned))["energy"], before["energy"])
    close(before["forces"][:, :2], torch.zeros(3, 2, dtype=torch.float64))
    step = 1e-4
    shifted = [positions + np.array([[0, 0, way], [0, 0, 0], [0, 0, 0]]) for way in (step, -step)]
    up, down = evaluate(model, *((numbers, moved) for moved in shifted))["energy"]
    assert float(before["forces"][0, 2]) == pytest.approx(float(down - up) / (2 * step), abs=1e-6)
    assert abs(float(before["forces"][0, 2])) > 1e-4


def test_energy_jumps_where_two_axes_change_places():
    """Not wanted, but what principal axes do, and what is said of the network."""
    numbers, positions = AMMONIA
    stretched = [positions * np.array([1 + way, 1 - way, 1]) for way in (1e-9, -1e-9)]
    energies = evaluate(made(), *((numbers, moved) for moved in stretched))["energy"]
    assert abs(float(energies[1] - energies[0])) > 1e-7


def test_one_molecule_s_nan_stays_its_own(ethanol):
    numbers, positions = ethanol
    model = made()
    spoilt = positions.copy()
    spoilt[0, 0] = np.nan
    found = evaluate(model, (numbers, spoilt), ethanol)["energy"]
    assert torch.isnan(found[0])
    close(found[1:], evaluate(model, ethanol)["energy"])


def test_periods_and_groups():
    known = {1: (1, 1), 2: (1, 18), 5: (2, 13), 6: (2, 14), 12: (3, 2), 17: (3, 17), 26: (4, 8)}
    known |= {53: (5, 17), 56: (6, 2), 57: (6, 19), 71: (6, 3), 79: (6, 11), 100: (7, 19)}
    assert {number: faenet._place(number) for number in known} == known
