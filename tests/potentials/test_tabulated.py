"""Filters from a table: as good as those computed for each pair, and only where they may be."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from force2geo.potentials.batch import collate
from force2geo.potentials.fast import radial, tabulated
from force2geo.potentials.fast.radial import CosineEnvelope, Excited, GaussianBasis
from force2geo.potentials.fast.tabulated import Tabulated
from force2geo.potentials.heads import Head
from force2geo.potentials.models import Network
from force2geo.potentials.pairs import find_pairs

CUTOFF = 5.0
NETWORKS = [
    {"name": "painn", "layers": 2, "features": 16, "basis_size": 32, "cutoff": CUTOFF},
    {"name": "schnet", "layers": 2, "features": 64, "basis_size": 32, "cutoff": CUTOFF},
]


def molecules(count, dtype=torch.float32):
    rng = np.random.default_rng(0)
    numbers = [rng.choice([1, 6, 8], 18) for _ in range(count)]
    return collate(numbers, [rng.uniform(0, 5, (18, 3)) for _ in range(count)], dtype)


@pytest.fixture(scope="module")
def many():
    batch = molecules(50)
    pairs = find_pairs(batch, CUTOFF)
    assert len(pairs) > 4000
    return pairs, pairs.vectors(batch.positions).norm(dim=1)


def exact(basis, layer, distance, envelope):
    """What the layer says in double precision, of all Gaussians of every pair."""
    d, centres = distance.double(), torch.linspace(0, CUTOFF, len(basis.centres)).double()
    gaussians = torch.exp(-0.5 * ((d[:, None] - centres) / (centres[1] - centres[0])) ** 2)
    return (gaussians @ layer.weight.double().t() + layer.bias.double()) * envelope[:, None]


@pytest.mark.parametrize("size", [8, 32, 70])
def test_filters_and_their_weights_slopes_are_exact_to_single_precision(many, size):
    torch.manual_seed(0)
    pairs, distance = many
    basis, layer = GaussianBasis(size, CUTOFF), torch.nn.Linear(size, 192)
    envelope = CosineEnvelope(CUTOFF)(distance)
    features = basis(distance, pairs, envelope)
    assert isinstance(features, Tabulated)
    expected = exact(basis, layer, distance, envelope)[:, [*range(128, 192), *range(64)]]
    found = features.through(layer, (2, 0), of=3)
    assert (found - expected).abs().max() < 2e-6  # of filters of about one
    slope = torch.randn_like(found)
    given = layer.weight, layer.bias
    one = torch.autograd.grad((found * slope).sum(), given)
    other = torch.autograd.grad((expected * slope).sum(), given)
    for tabled, right in zip(one, other, strict=True):
        torch.testing.assert_close(tabled, right, rtol=1e-5, atol=2e-4)


def test_no_table_where_slopes_or_digits_are_asked_or_pairs_are_few(many):
    pairs, distance = many
    basis = GaussianBasis(32, CUTOFF)
    assert isinstance(basis(distance, pairs), Tabulated)
    assert isinstance(basis(distance.clone().requires_grad_(), pairs), Excited)
    assert isinstance(basis.double()(distance.double(), pairs), Excited)
    batch = molecules(8)
    few = find_pairs(batch, CUTOFF)
    assert isinstance(basis.float()(few.vectors(batch.positions).norm(dim=1), few), Excited)
    on_device = replace(pairs, sorted=None)
    assert isinstance(basis(distance, on_device), Excited)


@pytest.mark.parametrize("record", NETWORKS, ids=lambda record: record["name"])
def test_a_network_says_and_learns_the_same_with_and_without(record, monkeypatch):
    torch.manual_seed(0)
    batch = molecules(40)
    network = Network(record, {"gap": Head("property", "gap", "eV")})
    found = []
    for table in (True, False):
        if not table:
            monkeypatch.setattr(radial, "tabulated", None)
        network.zero_grad()
        said = network(batch, training=True)["gap"]
        said.square().sum().backward()
        found.append((said.detach(), [w.grad for w in network.parameters() if w.grad is not None]))
    (one, slopes), (other, others) = found
    assert one.std() > 0 and not torch.equal(one, other)
    torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
    for mine, theirs in zip(slopes, others, strict=True):
        assert (mine - theirs).norm() <= 2e-5 * theirs.norm()


def test_threads_share_a_table_without_a_trace(many):
    pairs, distance = many
    basis, layer = GaussianBasis(32, CUTOFF), torch.nn.Linear(32, 192)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            filters = basis(distance, pairs).through(layer)
            found.append([filters, *torch.autograd.grad(filters.sin().sum(), layer.weight)])
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0][0], found[1][0])
    torch.testing.assert_close(found[0][1], found[1][1], rtol=1e-5, atol=1e-4)  # a product's own


def test_a_table_made_without_slopes_serves_with_them(many):
    pairs, distance = many
    basis, layer = GaussianBasis(32, CUTOFF), torch.nn.Linear(32, 6)
    with torch.inference_mode():
        before = basis(distance, pairs).through(layer)
    after = basis(distance, pairs).through(layer)
    after.sum().backward()
    assert torch.equal(before, after) and layer.weight.grad.abs().max() > 0


def test_a_table_is_made_again_of_other_centres(many):
    pairs, distance = many
    basis, wide, layer = GaussianBasis(32, CUTOFF), GaussianBasis(32, 6.0), torch.nn.Linear(32, 6)
    basis(distance, pairs)
    basis.load_state_dict(wide.state_dict())
    assert torch.equal(basis(distance, pairs).through(layer), wide(distance, pairs).through(layer))


def test_a_distance_that_is_no_number_spoils_its_own_filter_alone(many):
    pairs, distance = many
    layer = torch.nn.Linear(32, 6)
    features = GaussianBasis(32, CUTOFF)(distance, pairs)
    broken = distance.clone()
    broken[-1] = torch.nan
    spoilt = GaussianBasis(32, CUTOFF)(broken, pairs)
    found = spoilt.through(layer)
    assert found[-1].isnan().all()
    assert torch.equal(found[:-1], features.through(layer)[:-1])
    assert spoilt.first.min() >= 0 and spoilt.first.max() <= tabulated.points_of(32) - 4
