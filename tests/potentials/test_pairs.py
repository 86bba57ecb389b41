"""Pairs of atoms and the sums over them, compiled and not, to second derivatives."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from force2geo.potentials.batch import collate
from force2geo.potentials.fast import atom_steps, pair_sums
from force2geo.potentials.fast.pieces import join, split
from force2geo.potentials.fast.radial import CosineEnvelope, GaussianBasis
from force2geo.potentials.models import Potential
from force2geo.potentials.pairs import Pairs, find_pairs

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
    first, second = pairs.ends
    distance = (x[first] - x[second]).norm(dim=1)
    assert (distance.diff() >= 0).all()
    torch.testing.assert_close(pairs.vectors(x).norm(dim=1), distance)
    assert (pairs.sorted.order[pairs.sorted.row] == torch.arange(len(pairs))).all()
    for number in range(batch.size):
        part = pairs.first[pairs.sorted.ptr[number] : pairs.sorted.ptr[number + 1]]
        assert (molecule[part] == number).all()


def test_no_pairs_is_no_trouble(sums):
    lone = collate([np.array([8]), np.array([1])], [np.zeros((1, 3)), np.zeros((1, 3))])
    pairs = find_pairs(lone, CUTOFF)
    assert len(pairs) == 0
    assert (sums.scalar_message(torch.ones(2, 4), torch.zeros(0, 4), pairs) == 0).all()
    senders = torch.ones(2, 4), torch.ones(2, 4), torch.ones(2, 3, 4)
    message = sums.painn_message(*senders, torch.zeros(0, 12), torch.zeros(0, 3), pairs)
    assert all((part == 0).all() for part in message)


def test_a_position_that_is_no_number_spoils_the_energy():
    model = Potential({"name": "painn", "layers": 1, "features": 8, "basis_size": 8, "cutoff": 3.0})
    broken = collate([np.array([8, 1, 1])], [np.array([[0, 0, 0], [0.9, 0, 0], [np.nan, 0, 0]])])
    assert torch.isnan(model(broken)["energy"]).all()


def by_definition(pairs, x, y, v, w, u):
    """The messages written as in the module's text, pair by pair."""
    features = x.shape[1]
    scalar, vector = torch.zeros_like(x), x.new_zeros(len(x), 3, features)
    for p, (i, j) in enumerate(zip(*pairs.ends, strict=True)):
        w0, w1, w2 = [*w[p].split(features), torch.zeros(features)][:3]
        for here, there, sign in ((i, j, 1), (j, i, -1)):
            scalar[here] += w0 * x[there]
            vector[here] += sign * u[p][:, None] * w1 * y[there]
            if v is not None:
                vector[here] += w2 * v[there]
    return scalar, vector


def factors(pairs, features, vectors=True):
    torch.manual_seed(0)
    n, p = pairs.atoms, len(pairs)
    shapes = [(n, features), (n, features), (n, 3, features), (p, 3 * features), (p, 3)]
    if not vectors:
        shapes[2:4] = [(0,), (p, 2 * features)]
    made = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    return [*made[:2], made[2] if vectors else None, *made[3:]]


@pytest.mark.parametrize("vectors", [True, False])
def test_messages_are_what_they_say(batch, sums, vectors):
    pairs = find_pairs(batch, CUTOFF)
    given = factors(pairs, 3, vectors)
    with torch.no_grad():
        expected = by_definition(pairs, *given)
        found = sums.painn_message(*given, pairs)
        torch.testing.assert_close(found, expected)
        alone = sums.scalar_message(given[0], given[3][:, :3], pairs)
        torch.testing.assert_close(alone, expected[0])


@pytest.mark.parametrize("vectors", [True, False])
def test_first_and_second_derivatives(batch, sums, vectors):
    pairs = find_pairs(batch, 2.0)
    given = factors(pairs, 2, vectors)
    tensors = [value for value in given if value is not None]

    def message(*values):
        x, y, *rest = values
        v = rest.pop(0) if vectors else None
        return sums.painn_message(x, y, v, *rest, pairs)

    assert torch.autograd.gradcheck(message, tensors)
    assert torch.autograd.gradgradcheck(message, tensors)
    weights = torch.randn(len(pairs), 2, dtype=torch.float64, requires_grad=True)

    def alone(x, w):
        return sums.scalar_message(x, w, pairs)

    assert torch.autograd.gradcheck(alone, (given[0], weights))
    assert torch.autograd.gradgradcheck(alone, (given[0], weights))


def steps(compiled):
    """The steps of an atom, each with tensors to take, and what they are in plain words."""
    torch.manual_seed(0)
    s, p, x = torch.randn(3, 4, 5, dtype=torch.float64)
    c = torch.randn(4, 15, dtype=torch.float64)
    v, w = torch.randn(2, 4, 3, 5, dtype=torch.float64)
    m = torch.randn(4, 3, 10, dtype=torch.float64)
    c0, c1, c2 = c.split(5, dim=1)
    left, right = m.split(5, dim=2)
    length = (right.square().sum(dim=1) + 1e-8).sqrt()
    yield (
        lambda c, v: atom_steps.senders(c, v, (0, 2, 1), 0.7, 0.3, compiled),
        (c, v),
        (c0, 0.7 * c2, 0.3 * c1[:, None] * v),
    )
    yield (
        lambda s, m: atom_steps.invariants(s, m, 0.4, compiled),
        (s, m),
        (torch.cat([s, length], dim=1), 0.4 * (left * right).sum(dim=1), left),
    )
    yield (
        lambda *given: atom_steps.updated(*given, (2, 1, 0), 0.6, compiled),
        (c, p, w, x, v),
        (x + 0.6 * (c2 + c1 * p), v + c0[:, None] * w),
    )


@pytest.mark.parametrize("compiled", [True, False])
def test_steps_of_an_atom_are_what_they_say_to_second_derivatives(compiled):
    for step, given, expected in steps(compiled):
        torch.testing.assert_close(step(*given), expected)
        tensors = [value.clone().requires_grad_() for value in given]
        assert torch.autograd.gradcheck(step, tensors)
        assert torch.autograd.gradgradcheck(step, tensors)


def test_steps_of_an_atom_take_inputs_that_come_from_one_another():
    """A slope must not also go the way that one input came from another."""
    values = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    found = []
    for compiled in (True, False):
        product = values.sin()
        gates = torch.cat([product, values, values.cos()], dim=1)
        vectors = values[:, None].expand(-1, 3, -1)
        scalars, moved = atom_steps.updated(
            gates, product, vectors.exp(), values, vectors, (0, 1, 2), 0.5, compiled
        )
        whole = scalars.square().sum() + moved.square().sum()
        (slope,) = torch.autograd.grad(whole, values, create_graph=True)
        found.append((slope, *torch.autograd.grad(slope.square().sum(), values)))
    torch.testing.assert_close(*found)


def test_filters_have_derivatives_of_any_order(batch):
    pairs = find_pairs(batch, CUTOFF)
    basis, layer = GaussianBasis(40, CUTOFF).double(), torch.nn.Linear(40, 6).double()
    distance = pairs.vectors(batch.positions).norm(dim=1).requires_grad_()
    assert len(basis(distance, pairs).parts) > 1

    def filters(distance, weight, bias):
        return basis(distance, pairs).product(weight, bias, (2, 0), of=3)

    expected = layer(torch.exp(basis.coefficient * (distance[:, None] - basis.centres) ** 2))
    found = basis(distance, pairs).through(layer, (2, 0), of=3)
    torch.testing.assert_close(found, expected[:, [4, 5, 0, 1]])
    given = (distance, layer.weight, layer.bias)
    assert torch.autograd.gradcheck(filters, given)
    assert torch.autograd.gradgradcheck(filters, given)


def test_pieces_have_derivatives_of_any_order():
    whole = torch.randn(4, 6, dtype=torch.float64, requires_grad=True)
    for dim in (0, 1):

        def there_and_back(value, dim=dim):
            one, two = split(value.sin(), 2, dim)
            return join([two * one, one], dim)

        assert torch.autograd.gradcheck(there_and_back, whole)
        assert torch.autograd.gradgradcheck(there_and_back, whole)


def test_unsorted_pairs_give_the_same_forces(batch):
    torch.manual_seed(1)
    model = Potential(
        {"name": "painn", "layers": 2, "features": 8, "basis_size": 40, "cutoff": 4.5}
    )
    model = model.double()
    expected = model(batch)
    found = find_pairs(batch, 4.5)
    plain = replace(batch, pairs=Pairs(found.first, found.second, found.atoms, 4.5))
    for key, value in model(plain).items():
        torch.testing.assert_close(value, expected[key], rtol=1e-12, atol=1e-12)


def test_loops_operations_and_unsorted_pairs_train_alike(batch, monkeypatch):
    """Compiled loops, torch operations, and those on pairs in no order, as on a GPU."""
    settings = {"layers": 2, "features": 8, "basis_size": 40, "cutoff": 4.5}
    sorted_pairs = find_pairs(batch, 4.5)
    plain = Pairs(sorted_pairs.first, sorted_pairs.second, sorted_pairs.atoms, 4.5)
    gradients = []
    both = pair_sums.pair_loops, atom_steps.atom_loops
    for loops, pairs in ((both, None), ((None, None), None), ((None, None), plain)):
        monkeypatch.setattr(pair_sums, "pair_loops", loops[0])
        monkeypatch.setattr(atom_steps, "atom_loops", loops[1])
        found = []
        for name, variant in (("painn", "smooth"), ("painn", "published"), ("schnet", "smooth")):
            torch.manual_seed(3)
            model = Potential({"name": name, "variant": variant, **settings}).double()
            output = model(replace(batch, pairs=pairs), training=True)
            loss = output["binding"].square().sum() + output["forces"].square().sum()
            loss.backward()
            found += [p.grad.clone() for p in model.parameters() if p.grad is not None]
        gradients.append(found)
    for one, *others in zip(*gradients, strict=True):
        for other in others:
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
