"""PACE against outputs of its published code.

`pace.npz` holds energies and forces that `OpenMol/PACE` of github.com/divelab/AIRS (4a16c68) gives
in float64 for weights that `filled` sets, mapped into it: as published (degree 3, natural parity),
and with the degree and the parity of its harmonics, constants there, changed to this one's default.
"""

import zlib

import numpy as np
import pytest
import torch

from force2geo.errors import UserError
from force2geo.potentials.backbone import Statistics
from force2geo.potentials.batch import collate
from force2geo.potentials.graph import Graph
from force2geo.potentials.registry import build_backbone

pytest.importorskip("e3nn")

SMALL = {"layers": 2, "features": 8, "cutoff": 4.5}
KNOWN = Statistics(elements=(1, 6, 8), mean_neighbours=6.3, force_rms=1.7)
VARIANTS = {
    "published": {"degree": 3, "parity": "natural"},
    "natural": {"degree": 2, "parity": "natural"},
    "even": {"degree": 2, "parity": "even"},
}


def made(**settings):
    return build_backbone({"name": "pace"} | SMALL | settings, KNOWN).double()


def filled(network):
    """Return a network with weights of mean square one that follow from their names."""
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            place = torch.arange(parameter.numel(), dtype=torch.float64)
            values = torch.sin(12.9898 * (place + zlib.crc32(name.encode()) % 1000 + 1) ** 2)
            parameter.copy_(2**0.5 * values.view_as(parameter))
    return network


def evaluate(network, *molecules):
    batch = collate(*zip(*molecules, strict=True), torch.float64)
    batch.positions.requires_grad_()
    found = network(batch, Graph.of(batch, network.cutoff))
    energy = batch.positions.new_zeros(batch.size).index_add(0, batch.molecule, found.atomic_energy)
    (slope,) = torch.autograd.grad(energy.sum(), batch.positions)
    return energy.detach().numpy(), -slope.numpy()


@pytest.mark.parametrize("variant", VARIANTS)
def test_published_network(repository, variant):
    stored = np.load(repository / "tests/data/backbones/pace.npz")
    numbers, positions = stored["atomic_numbers"], stored["positions"]
    molecules = (numbers[:9], positions[:9]), (numbers[9:], positions[9:])
    energy, forces = evaluate(filled(made(**VARIANTS[variant])), *molecules)
    np.testing.assert_allclose(energy, stored[f"{variant}_energy"], rtol=1e-9)
    largest = np.abs(forces).max()
    np.testing.assert_allclose(forces, stored[f"{variant}_forces"], rtol=0, atol=1e-9 * largest)


@pytest.mark.parametrize(("parity", "same"), [("natural", True), ("even", False)])
def test_mirror_images(ethanol, parity, same):
    numbers, positions = ethanol
    (energy, other), _ = evaluate(made(parity=parity), ethanol, (numbers, -positions))
    assert (abs(energy - other) < 1e-10) == same


@pytest.mark.parametrize("settings", [{"layers": 1}, {"layers": 3, "boosts": 3, "degree": 1}])
def test_other_sizes(ethanol, settings):
    numbers, positions = ethanol
    turn = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))[0]
    turn *= np.linalg.det(turn)
    network = made(**settings)
    assert network.vector_width == (0 if settings["layers"] == 1 else 8)
    energy, forces = evaluate(network, ethanol, (numbers, positions @ turn))
    assert energy[1] == pytest.approx(energy[0], abs=1e-10)
    np.testing.assert_allclose(forces[9:], forces[:9] @ turn, atol=1e-10)


def test_pairs_of_elements_in_a_table_or_by_edge(ethanol):
    # Nine pairs of elements are fewer than ethanol's edges, but more than those of one bond.
    numbers, positions = ethanol
    bond = numbers[:2], positions[:2]
    network = made()
    alone, _ = evaluate(network, bond)
    among, _ = evaluate(network, bond, ethanol)
    assert among[0] == pytest.approx(alone[0], abs=1e-12)


def test_an_unknown_element_has_no_energy(ethanol):
    energy, _ = evaluate(made(), (np.array([7, 1]), np.array([[0, 0, 0], [0, 0, 1.0]])), ethanol)
    assert np.isnan(energy[0]) and np.isfinite(energy[1])


def test_features_are_shared_among_boosts():
    with pytest.raises(UserError, match="no multiple of boosts"):
        made(features=9)


def test_coefficients_are_those_of_float64():
    network = made().float().double()
    pairs = network.polynomials[0].pairs
    # No degree that two tensors couple to is left out, and the change of basis is orthogonal.
    torch.testing.assert_close(pairs @ pairs.t(), torch.eye(81).double(), rtol=0, atol=1e-14)
