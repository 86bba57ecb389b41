"""DeNS: forces of the structure that is meant are an input, turn along, and tell the noise."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from force2geo.errors import UserError
from force2geo.potentials.backbone import Statistics
from force2geo.potentials.batch import collate
from force2geo.potentials.models import Network
from force2geo.train.objectives.denoising import Denoising

BACKBONE = {
    "name": "painn", "layers": 2, "features": 16, "basis_size": 16, "cutoff": 4.5, "forces": True,
}  # fmt: skip
# Displacements that bonds cannot tell: two atoms, one way or the other along their bond.
STRETCH = 0.2


def network(dtype=torch.float64, scale=1.0):
    torch.manual_seed(0)
    heads = Denoising.of(noise=0.3).heads()
    return Network(BACKBONE, heads, Statistics(force_rms=scale)).to(dtype)


@pytest.fixture
def batch(ethanol):
    numbers, positions = ethanol
    found = collate([numbers, numbers[:3]], [positions, positions[:3]], torch.float64)
    found.forces = torch.from_numpy(np.random.default_rng(4).normal(size=found.positions.shape))
    return found


def test_forces_are_given_only_where_asked_for(batch):
    chance = torch.Generator().manual_seed(3)
    given = Denoising.of(noise=0.3, given_forces=True).prepare(batch, chance)
    assert given.given_forces is batch.forces and given.forces is None
    assert Denoising.of(noise=0.3).prepare(batch, chance).given_forces is None


def test_predictions_turn_with_molecule_and_forces(batch):
    model = network()
    turn = torch.from_numpy(Rotation.from_rotvec([0.4, -1.1, 0.7]).as_matrix())
    batch.given_forces = batch.forces
    found = model(batch)["displacement"]
    batch.positions, batch.given_forces = batch.positions @ turn.T, batch.given_forces @ turn.T
    torch.testing.assert_close(model(batch)["displacement"], found @ turn.T, rtol=0, atol=1e-9)
    batch.given_forces = -batch.given_forces
    assert (model(batch)["displacement"] - found @ turn.T).abs().max() > 1e-3


def test_forces_count_in_units_of_the_training_set_s(batch):
    batch.given_forces = batch.forces
    expected = network()(batch)["displacement"]
    batch.given_forces = 2.5 * batch.forces
    torch.testing.assert_close(network(scale=2.5)(batch)["displacement"], expected)


def test_without_forces_the_network_is_the_one_without_that_input(batch):
    plain = Network({**BACKBONE, "forces": False}, Denoising.of(noise=0.3).heads()).double()
    model = network()
    held = {key: value for key, value in model.state_dict().items() if "given_forces" not in key}
    plain.load_state_dict(held)
    torch.testing.assert_close(
        model(batch)["displacement"], plain(batch)["displacement"], rtol=0, atol=0
    )


def test_forces_tell_noise_that_the_geometry_cannot():
    """A spring of 0.9 or 1.1 Å at rest: the force says which, and so what 1.0 Å was before."""
    model, objective = network(torch.float32), Denoising.of(noise=STRETCH, given_forces=True)
    bare = network(torch.float32)
    numbers = np.array([1, 1])
    positions = np.array([[0, 0, 0], [1.0, 0, 0]])
    batch = collate([numbers, numbers], [positions, positions])
    push = torch.tensor([[-1.0, 0, 0], [1, 0, 0], [1, 0, 0], [-1, 0, 0]])
    batch.displacement = 0.05 * push
    losses = {}
    for name, one, given in (("given", model, push), ("bare", bare, None)):
        steps = torch.optim.Adam(one.parameters(), lr=5e-3)
        batch.given_forces = given
        for _ in range(150):
            loss = objective.loss(one, batch)["loss"]
            steps.zero_grad()
            loss.backward()
            steps.step()
        losses[name] = float(loss.detach())
    nothing = float((batch.displacement / STRETCH).square().mean())
    assert losses["given"] < 0.02 * nothing
    assert losses["bare"] == pytest.approx(nothing, rel=0.02)  # no better than saying nothing


def test_a_network_that_takes_no_forces_is_named():
    objective = Denoising.of(noise=0.3, given_forces=True)
    model = Network({**BACKBONE, "forces": False}, objective.heads())
    with pytest.raises(UserError, match="backbone painn: takes no forces"):
        objective.fit(model, None)
