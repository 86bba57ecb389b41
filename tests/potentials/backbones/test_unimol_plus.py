"""Uni-Mol+: against numbers of the published code, and what is its own; the rest is contract."""

import numpy as np
import pytest
import torch

from force2geo.errors import UserError
from force2geo.potentials.backbone import Statistics
from force2geo.potentials.batch import collate
from force2geo.potentials.graph import Graph
from force2geo.potentials.models import Potential, PropertyModel
from force2geo.potentials.registry import build_backbone

SIZE = {"layers": 2, "features": 16, "pair_features": 12, "pair_hidden": 4, "heads": 4}
SMALL = {**SIZE, "basis_size": 16, "cutoff": 6.0}


def run(network, batch):
    return network(batch, Graph.of(batch, network.cutoff))


@pytest.fixture
def published(repository):
    """What the published code gives for ethanol, water and a sulfur atom, each in its own batch.

    Its three projections of movements were set alike, and gradients let through.
    """
    with np.load(repository / "tests/data/backbones/unimol_plus.npz") as data:
        return dict(data)


def test_published_numbers(published):
    network = build_backbone({"name": "unimol_plus", **SIZE, "basis_size": 10, "cutoff": 5.0})
    weights = {
        name.removeprefix("weights/"): torch.from_numpy(value)
        for name, value in published.items()
        if name.startswith("weights/")
    }
    network.load_state_dict(weights)
    network.double().eval()
    ends = published["atoms"].cumsum()[:-1]
    batch = collate(
        np.split(published["numbers"], ends),
        np.split(published["positions"], ends),
        torch.float64,
    )
    batch.positions.requires_grad_(True)
    found = run(network, batch)
    readout = found.atomic_energy[batch.ptr[:-1]]
    (slope,) = torch.autograd.grad(readout.sum(), batch.positions)
    # The published code takes 3.14159 for π.
    movement = torch.from_numpy(published["movement"])[:, :, None]
    torch.testing.assert_close(readout, torch.from_numpy(published["readout"]), rtol=1e-6, atol=0)
    torch.testing.assert_close(found.vectors, movement, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(slope, torch.from_numpy(published["slope"]), rtol=1e-5, atol=1e-7)


def test_a_property_is_the_virtual_atom_s_and_an_energy_that_of_every_atom(ethanol):
    batch = collate(*zip(ethanol, strict=True))
    torch.manual_seed(0)
    potential = Potential({"name": "unimol_plus", **SMALL}).eval()
    model = PropertyModel({"name": "unimol_plus", **SMALL}).eval()
    model.backbone.load_state_dict(potential.backbone.state_dict())
    energy, prediction = potential(batch)["energy"], model(batch)["property"]
    torch.testing.assert_close(energy.float(), 9 * prediction)


@pytest.mark.parametrize("rounds", [1, 2])
def test_what_is_spare_after_so_many_rounds(rounds, ethanol):
    """Movements and the last pairs matter to the energy when there is a round to come."""
    torch.manual_seed(0)
    model = Potential({"name": "unimol_plus", **SMALL, "rounds": rounds}).eval()
    output = model(collate(*zip(ethanol, strict=True)), training=True)
    (output["binding"].sum() + output["forces"].square().sum()).backward()
    unread = {name for name, value in model.named_parameters() if value.grad is None}
    spare = {name for name, _ in model.named_parameters() if name.startswith(model.backbone.spare)}
    assert unread == spare
    assert ("backbone.movement.last.weight" in spare) == (rounds == 1)
    if rounds == 2:
        assert float(model.backbone.movement.last.weight.grad.abs().max()) > 1e-6


def test_dropout_is_of_training_alone(ethanol):
    """Each of the four kinds alone makes a difference in training and none otherwise."""
    none = dict.fromkeys(
        ("attention_dropout", "activation_dropout", "path_dropout", "pair_dropout"), 0.0
    )
    batch = collate(*zip(ethanol, strict=True))
    torch.manual_seed(0)
    plain = build_backbone({"name": "unimol_plus", **SMALL, **none})
    expected = run(plain, batch).atomic_energy.detach()
    for kind in none:
        network = build_backbone({"name": "unimol_plus", **SMALL, **none, kind: 0.9})
        network.load_state_dict(plain.state_dict())
        torch.manual_seed(1)
        drops = torch.stack([run(network.train(), batch).atomic_energy.detach() for _ in range(4)])
        assert float((drops - expected).abs().max()) > 1e-6, kind
        torch.testing.assert_close(run(network.eval(), batch).atomic_energy, expected)


def test_heads_that_do_not_divide_the_features_are_told():
    with pytest.raises(UserError, match="5 'heads' do not divide 16 'features'"):
        build_backbone({"name": "unimol_plus", **SMALL, "heads": 5}, Statistics())
