"""Pairs of atoms and the sums over them, compiled and not, to second derivatives."""

import numpy as np
import pytest
import torch

from force2geo.potentials import pair_sums
from force2geo.potentials.batch import collate
from force2geo.potentials.models import Potential
from force2geo.potentials.pairs import find_pairs
from force2geo.potentials.radial import CosineEnvelope, GaussianBasis

CUTOFF = 3.0


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    sizes = (5, 1, 9, 2)
    return collate(
        [rng.choice([1, 6, 8], n) for n in sizes],
        [rng.normal(scale=1.4, size=(n, 3)) for n in sizes],
        torch.float64,
    )


@pytest.fixture(params=["compiled", "torch"])
def sums(request, monkeypatch):
    if request.param == "torch":
        monkeypatch.setattr(pair_sums, "pair_loops", None)
    else:
        pytest.importorskip("numba")
    return pair_sums


def test_pairs_are_all_that_are_near_and_each_once(batch):
    pairs = find_pairs(batch, CUTOFF)
    found = set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))
    x, molecule = batch.positions, batch.molecule
    expected = {
        (i, j)
        for i in range(len(x))
        for j in range(i + 1, len(x))
        if molecule[i] == molecule[j] and (x[i] - x[j]).norm() < CUTOFF
    }
    assert found == expected and len(pairs) == len(expected)
    assert (pairs.sorted.distance.diff() >= 0).all()
    first, second = pairs.ends
    torch.testing.assert_close((x[first] - x[second]).norm(dim=1), pairs.sorted.distance)
    assert (pairs.sorted.order[pairs.sorted.row] == torch.arange(len(pairs))).all()
    for number in range(batch.size):
        part = pairs.first[pairs.sorted.ptr[number] : pairs.sorted.ptr[number + 1]]
        assert (molecule[part] == number).all()


def test_no_pairs_is_no_trouble(sums):
    lone = collate([np.array([8]), np.array([1])], [np.zeros((1, 3)), np.zeros((1, 3))])
    pairs = find_pairs(lone, CUTOFF)
    weights = torch.zeros(0, 4)
    assert len(pairs) == 0
    assert (sums.three_sum(torch.ones(2, 3, 4), weights, pairs) == 0).all()
    assert (sums.four_sum(torch.ones(2, 4), weights, torch.zeros(0, 3), pairs) == 0).all()


def by_definition(batch, pairs, sender, vectors, weights, directions):
    """Both sums written as in the module's text, pair by pair."""
    three, four = torch.zeros_like(vectors), torch.zeros_like(vectors)
    for p, (i, j) in enumerate(zip(*pairs.ends, strict=True)):
        three[i] += vectors[j] * weights[p]
        three[j] += vectors[i] * weights[p]
        four[i] += directions[p][:, None] * (weights[p] * sender[j])
        four[j] -= directions[p][:, None] * (weights[p] * sender[i])
    return three, four


def factors(batch, pairs, features=3):
    torch.manual_seed(0)
    n = len(batch.positions)
    shapes = ((n, features), (n, 3, features), (len(pairs), features), (len(pairs), 3))
    return [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]


def test_sums_are_what_they_say(batch, sums):
    pairs = find_pairs(batch, CUTOFF)
    sender, vectors, weights, directions = factors(batch, pairs)
    with torch.no_grad():
        expected = by_definition(batch, pairs, sender, vectors, weights, directions)
    torch.testing.assert_close(sums.three_sum(vectors, weights, pairs), expected[0])
    torch.testing.assert_close(sums.four_sum(sender, weights, directions, pairs), expected[1])


def test_first_and_second_derivatives(batch, sums):
    pairs = find_pairs(batch, 2.0)
    sender, vectors, weights, directions = factors(batch, pairs, 2)

    def three(x, w):
        return sums.three_sum(x, w, pairs)

    def four(x, w, u):
        return sums.four_sum(x, w, u, pairs)

    for function, inputs in ((three, (vectors, weights)), (four, (sender, weights, directions))):
        assert torch.autograd.gradcheck(function, inputs)
        assert torch.autograd.gradgradcheck(function, inputs)


def test_compiled_loops_train_as_torch_does(batch, monkeypatch):
    pytest.importorskip("numba")
    settings = {"layers": 2, "features": 8, "basis_size": 40, "cutoff": 4.5}
    gradients = []
    for loops in (pair_sums.pair_loops, None):
        monkeypatch.setattr(pair_sums, "pair_loops", loops)
        found = []
        for name, variant in (("painn", "smooth"), ("painn", "published"), ("schnet", "smooth")):
            torch.manual_seed(3)
            model = Potential({"name": name, "variant": variant, **settings}).double()
            output = model(batch, training=True)
            loss = output["binding"].square().sum() + output["forces"].square().sum()
            loss.backward()
            found += [p.grad.clone() for p in model.parameters() if p.grad is not None]
        gradients.append(found)
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gaussians_left_out_are_below_the_precision(dtype):
    rng = np.random.default_rng(0)
    z, x = rng.choice([1, 6], 40), rng.uniform(0, 5, (40, 3))
    many = collate([z], [x], dtype)
    pairs = find_pairs(many, 4.5)
    distance = pairs.vectors(many.positions).norm(dim=1)
    basis, layer = GaussianBasis(128, 4.5).to(dtype), torch.nn.Linear(128, 7).to(dtype)
    envelope = CosineEnvelope(4.5)(distance)
    found = basis(distance, pairs, envelope).through(layer)
    whole = torch.exp(basis.coefficient * (distance[:, None] - basis.centres) ** 2)
    expected = (layer(whole)) * envelope[:, None]
    limit = 2e-6 if dtype == torch.float32 else 1e-14
    assert (found - expected).abs().max() < limit
    assert sum(values.shape[1] for values, _, _ in basis(distance, pairs).parts) < 5 * 128
