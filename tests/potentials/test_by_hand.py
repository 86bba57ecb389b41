"""Networks computed again in plain numpy, pair by pair, and numbers worked out on paper."""

import numpy as np
import pytest
import torch

from force2geo.potentials.backbones.schnet import ShiftedSoftplus
from force2geo.potentials.batch import collate
from force2geo.potentials.fast.radial import CosineEnvelope, GaussianBasis
from force2geo.potentials.models import Potential, PropertyModel
from force2geo.potentials.pairs import find_pairs

CUTOFF, BASIS, FEATURES = 3.0, 7, 6
WATER = np.array([8, 1, 1]), np.array([[0.1, 0.0, 0.0], [0.9, 0.3, -0.2], [-0.3, 1.1, 0.4]])
# An atom that one other sees and one does not.
CHAIN = np.array([6, 8, 1]), np.array([[0.0, 0.0, 0.0], [1.9, 0.4, 0.1], [3.4, -0.5, 0.8]])


def weights_of(network):
    return {key: value.double().numpy() for key, value in network.state_dict().items()}


def linear(w, name, x):
    return x @ w[f"{name}.weight"].T + w.get(f"{name}.bias", 0.0)


def silu(x):
    return x / (1 + np.exp(-x))


def softplus(x):
    return np.log(0.5 * np.exp(x) + 0.5)


def two_layers(w, name, x, between=silu):
    return linear(w, f"{name}.2", between(linear(w, f"{name}.0", x)))


def gaussians(distance):
    spacing = CUTOFF / (BASIS - 1)
    return np.exp(-((distance - spacing * np.arange(BASIS)) ** 2) / (2 * spacing**2))


def envelope(distance):
    return 0.5 * (np.cos(np.pi * distance / CUTOFF) + 1)


def neighbours(x, i):
    for j in range(len(x)):
        vector = x[j] - x[i]
        distance = np.sqrt((vector**2).sum())
        if j != i and distance < CUTOFF:
            yield j, vector, distance


def painn(w, numbers, x, layers=2):
    """PaiNN, eqs 7 to 10, with filters under an envelope."""
    s, v = w["backbone.embedding.weight"][numbers], np.zeros((len(x), 3, FEATURES))
    for layer in range(layers):
        name = f"backbone.messages.{layer}"
        phi = np.split(two_layers(w, f"{name}.context", s), 3, axis=1)
        ds, dv = np.zeros_like(s), np.zeros_like(v)
        for i in range(len(x)):
            for j, vector, distance in neighbours(x, i):
                filters = linear(w, f"{name}.filters", gaussians(distance)) * envelope(distance)
                to_s, along, to_v = np.split(filters, 3)
                ds[i] += phi[0][j] * to_s
                dv[i] += np.outer(vector / distance, phi[1][j] * along)
                dv[i] += phi[2][j] * to_v * v[j]
        s, v = s + ds, v + dv
        name = f"backbone.updates.{layer}"
        left, right = np.split(linear(w, f"{name}.mix", v), 2, axis=2)
        length = np.sqrt((right**2).sum(axis=1) + 1e-8)
        a = np.split(two_layers(w, f"{name}.context", np.hstack([s, length])), 3, axis=1)
        s, v = s + a[2] + a[1] * (left * right).sum(axis=1), v + a[0][:, None] * left
    return s, v


def published(w, numbers, x, layers=2):
    """The paper's public code: no envelope, vectors not normalised, constants of Open Catalyst."""
    s, v = w["backbone.embedding.weight"][numbers], np.zeros((len(x), 3, FEATURES))
    for layer in range(layers):
        name = f"backbone.messages.{layer}"
        mean, var = s.mean(axis=1, keepdims=True), s.var(axis=1, keepdims=True)
        normal = (s - mean) / np.sqrt(var + 1e-5)
        normal = normal * w[f"{name}.norm.weight"] + w[f"{name}.norm.bias"]
        phi = two_layers(w, f"{name}.context", normal)
        ds, dv = np.zeros_like(s), np.zeros_like(v)
        for i in range(len(x)):
            for j, vector, distance in neighbours(x, i):
                one, two, three = np.split(
                    phi[j] * linear(w, f"{name}.filters", gaussians(distance)), 3
                )
                ds[i] += one
                along = np.outer(-vector, three)
                dv[i] += (v[j] * two / np.sqrt(3.0) + along) / np.sqrt(FEATURES)
        s, v = (s + ds) / np.sqrt(2.0), v + dv
        name = f"backbone.updates.{layer}"
        left, right = np.split(linear(w, f"{name}.mix", v), 2, axis=2)
        product = (left * right).sum(axis=1) / np.sqrt(FEATURES)
        length = np.sqrt((right**2).sum(axis=1) + 1e-8)
        a = np.split(two_layers(w, f"{name}.context", np.hstack([s, length])), 3, axis=1)
        s, v = s + (a[0] + a[1] * product) / np.sqrt(2.0), v + a[2][:, None] * left
    return s, v


def schnet(w, numbers, x, layers=2):
    """SchNet, eqs 1 to 4, with filters under an envelope."""
    s = w["backbone.embedding.weight"][numbers]
    for layer in range(layers):
        name = f"backbone.interactions.{layer}"
        sent, got = linear(w, f"{name}.before", s), np.zeros_like(s)
        for i in range(len(x)):
            for j, _, distance in neighbours(x, i):
                filters = two_layers(w, f"{name}.filters", gaussians(distance), softplus)
                got[i] += sent[j] * filters * envelope(distance)
        s = s + two_layers(w, f"{name}.after", got, softplus)
    return s, None


def build(kind, name, variant):
    torch.manual_seed(2)
    sizes = {"layers": 2, "features": FEATURES, "basis_size": BASIS, "cutoff": CUTOFF}
    network = kind({"name": name, "variant": variant, **sizes}).double()
    for weight in network.parameters():  # biases and norms, too, are to matter
        weight.data += 0.3 * torch.randn_like(weight)
    return network


@pytest.mark.parametrize(
    ("name", "variant", "by_hand"),
    [
        ("painn", "smooth", painn),
        ("painn", "published", published),
        ("schnet", "smooth", schnet),
    ],
)
def test_energy_and_forces_are_those_of_the_equations(name, variant, by_hand):
    network = build(Potential, name, variant)
    network.energy.references[[1, 6, 8]] = torch.tensor([-13.5, -1030.1, -2043.2]).double()
    w = weights_of(network)

    def binding(numbers, x):
        return two_layers(w, "heads.energy.atomic", by_hand(w, numbers, x)[0]).sum()

    found = network(collate(*zip(WATER, CHAIN, strict=True), torch.float64))
    for place, (numbers, x) in enumerate((WATER, CHAIN)):
        known = binding(numbers, x)
        assert float(found["binding"][place]) == pytest.approx(known, rel=1e-7)
        references = sum({1: -13.5, 6: -1030.1, 8: -2043.2}[int(z)] for z in numbers)
        assert float(found["energy"][place]) == pytest.approx(references + known, abs=1e-4)
        step = 1e-5
        for atom, axis in np.ndindex(3, 3):
            moved = np.zeros((3, 3))
            moved[atom, axis] = step
            slope = (binding(numbers, x + moved) - binding(numbers, x - moved)) / (2 * step)
            assert float(found["forces"][3 * place + atom, axis]) == pytest.approx(-slope, abs=2e-6)


def displaced(w, s, v):
    """Vectors under a gate, combined."""
    gate = two_layers(w, "heads.displacement.gate", s)
    return (gate[:, None] * v) @ w["heads.displacement.combine.weight"][0]


def displaced_as_published(w, s, v):
    """Two gated equivariant blocks (PaiNN, figure 3)."""
    for block in ("heads.displacement.blocks.0", "heads.displacement.blocks.1"):
        length = np.sqrt((linear(w, f"{block}.to_norm", v) ** 2).sum(axis=1))
        s, gate = np.split(two_layers(w, f"{block}.context", np.hstack([s, length])), 2, axis=1)
        s, v = silu(s), gate[:, None] * linear(w, f"{block}.to_vectors", v)
    return v[:, :, 0]


@pytest.mark.parametrize(
    ("variant", "by_hand", "head"),
    [("smooth", painn, displaced), ("published", published, displaced_as_published)],
)
def test_displacements_and_property_are_those_of_the_equations(variant, by_hand, head):
    """Their sign tells which way vectors between atoms point; an energy does not."""
    network = build(PropertyModel, "painn", variant)
    network.property_head().mean.fill_(7.0)
    network.property_head().deviation.fill_(1.5)
    w = weights_of(network)
    found = network(collate(*zip(WATER, CHAIN, strict=True), torch.float64))
    for place, (numbers, x) in enumerate((WATER, CHAIN)):
        s, v = by_hand(w, numbers, x)
        own = found["displacement"][3 * place : 3 * place + 3]
        np.testing.assert_allclose(own, head(w, s, v), rtol=1e-6, atol=1e-7)
        value = 7.0 + 1.5 * two_layers(w, "heads.property.atomic", s).mean()
        assert float(found["property"][place]) == pytest.approx(value, rel=1e-7)


def test_the_envelope_at_typed_in_distances():
    distance = torch.tensor([0.0, 1.5, 2.25, 4.5, 6.0], dtype=torch.float64, requires_grad=True)
    value = CosineEnvelope(4.5)(distance)
    expected = torch.tensor([1.0, 0.75, 0.5, 0.0, 0.0], dtype=torch.float64)
    torch.testing.assert_close(value, expected, rtol=0, atol=1e-15)
    (slope,) = torch.autograd.grad(value.sum(), distance)
    # −π/9 sin(π d / 4.5)
    known = torch.tensor([0.0, -0.302299894039, -0.349065850399, 0.0, 0.0], dtype=torch.float64)
    torch.testing.assert_close(slope, known, rtol=0, atol=1e-12)


def test_the_radial_basis_at_a_typed_in_distance():
    basis = GaussianBasis(5, 4.0).double()
    pair = collate([np.array([1, 1])], [np.array([[0, 0, 0], [1.5, 0, 0]])], torch.float64)
    pairs = find_pairs(pair, 4.0)
    ((found, begin, end),) = basis(torch.tensor([1.5]).double(), pairs).parts
    assert (begin, end) == (0, 5)
    # exp(−(1.5 − k)² / 2), and the scale
    known = [0.324652467358, 0.882496902585, 0.882496902585, 0.324652467358, 0.043936933623, 1.0]
    np.testing.assert_allclose(found[0].numpy(), known, atol=1e-12)
    doubled = basis(torch.tensor([1.5]).double(), pairs, torch.tensor([0.5]).double()).parts[0][0]
    np.testing.assert_allclose(doubled[0].numpy(), 0.5 * np.array(known), atol=1e-12)


def test_schnet_s_activation():
    found = ShiftedSoftplus()(torch.tensor([0.0, 1.0, -2.0], dtype=torch.float64))
    np.testing.assert_allclose(found, [0.0, 0.620114506958, -0.566219169517], atol=1e-12)
