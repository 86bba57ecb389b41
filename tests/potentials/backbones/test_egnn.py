"""EGNN against outputs of its published code, and with its smooth end against plain loops.

`egnn.npz` holds what `EGNN` of `models/egnn_clean` (github.com/vgsatorras/egnn, e9ca6c0) gives in
float64 for weights that `filled` sets, mapped into it; `embedding_out` passes scalars on.
"""

import zlib

import numpy as np
import pytest
import torch

from force2geo.potentials.backbone import Statistics
from force2geo.potentials.batch import collate
from force2geo.potentials.graph import Graph
from force2geo.potentials.registry import build_backbone

SMALL = {"layers": 3, "features": 16, "cutoff": 4.5}
TINY = {"name": "egnn", "layers": 3, "features": 6, "cutoff": 3.0}


def filled(network):
    """Return a network in float64 with weights that follow from their names."""
    network = network.double()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            place = torch.arange(parameter.numel(), dtype=torch.float64)
            values = torch.sin(12.9898 * (place + zlib.crc32(name.encode()) % 1000 + 1) ** 2)
            parameter.copy_(0.3 * values.view_as(parameter))
    return network


def made(**settings):
    return filled(build_backbone(TINY | settings, Statistics(mean_neighbours=4.0)))


def features(network, *molecules):
    batch = collate(*zip(*molecules, strict=True), torch.float64)
    batch.positions.requires_grad_()
    return network(batch, Graph.of(batch, network.cutoff)), batch.positions


@pytest.mark.parametrize("attention", [False, True])
def test_published_network(repository, attention):
    stored = np.load(repository / "tests/data/backbones/egnn.npz")
    network = made(attention=attention, envelope="none")
    numbers, positions = stored["atomic_numbers"], stored["positions"]
    found, moving = features(network, (numbers[:8], positions[:8]), (numbers[8:], positions[8:]))
    (slope,) = torch.autograd.grad(found.scalars.sum(), moving)
    kind = "attention" if attention else "plain"
    moved = found.vectors.sum(2) + moving
    for what, values in (("scalars", found.scalars), ("moved", moved), ("slope", slope)):
        expected = stored[f"{kind}_{what}"]
        np.testing.assert_allclose(values.detach().numpy(), expected, rtol=1e-9, atol=1e-11)


def silu(x):
    return x / (1 + np.exp(-x))


def by_loops(network, numbers, positions):
    """Return scalars and the moved positions, atom by atom."""
    weights = {name: value.numpy() for name, value in network.state_dict().items()}
    h, x = weights["embedding.weight"][numbers], positions.copy()
    for layer in ("convolutions.0", "convolutions.1", "last"):

        def linear(name, values, layer=layer):
            bias = weights.get(f"{layer}.{name}.bias", 0.0)
            return weights[f"{layer}.{name}.weight"] @ values + bias

        summed, moved = np.zeros_like(h), np.zeros_like(x)
        for i in range(len(x)):
            for j in range(len(x)):
                first = np.linalg.norm(positions[i] - positions[j])
                if i == j or first >= network.cutoff:
                    continue
                end = 0.5 * (1 + np.cos(np.pi * first / network.cutoff))
                m = silu(linear("edge", np.concatenate([h[i], h[j], [((x[i] - x[j]) ** 2).sum()]])))
                m = silu(linear("message.1", m))
                m = m / (1 + np.exp(-linear("attention", m)))
                summed[i] += end * m
                step = linear("move.2", silu(linear("move.0", m)))
                moved[i] += (x[i] - x[j]) * step * end / 4.0
        h = h + np.stack(
            [
                linear("node.2", silu(linear("node.0", np.concatenate(both))))
                for both in zip(h, summed, strict=True)
            ]
        )
        x = x + moved
    return h, x


def test_smooth_network_by_loops(ethanol):
    numbers, positions = ethanol
    network = made()
    found, moving = features(network, ethanol)
    scalars, moved = by_loops(network, numbers, positions)
    np.testing.assert_allclose(found.scalars.detach().numpy(), scalars, rtol=1e-10, atol=1e-12)
    at = (moving + found.vectors.sum(2)).detach().numpy()
    np.testing.assert_allclose(at, moved, rtol=1e-10, atol=1e-12)
    assert np.abs(moved - positions).max() > 1e-3


def test_atoms_start_nearly_where_they_are(ethanol):
    torch.manual_seed(0)
    found, _ = features(build_backbone(TINY).double(), ethanol)
    assert 0 < float(found.vectors.detach().abs().max()) < 0.01
