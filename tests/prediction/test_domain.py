"""How far a molecule is from training, worked out by hand."""

import numpy as np
import pytest
import torch

import force2geo
from force2geo.errors import UserError
from force2geo.potentials import domain
from force2geo.potentials.batch import collate
from force2geo.potentials.domain import Domain, Neighbourhood, quantile


def test_distances_are_those_of_standardised_features_each_left_out_in_turn():
    rng = np.random.default_rng(0)
    train = rng.normal(size=(40, 3)) * [1, 10, 0.1] + [5, 0, -2]
    others = rng.normal(size=(7, 3)) * [2, 20, 0.2]
    found = Neighbourhood.of(torch.from_numpy(train))
    mean, deviation = train.mean(0), train.std(0)
    standard = (train - mean) / deviation
    apart = np.linalg.norm(standard[:, None] - standard, axis=2)
    np.fill_diagonal(apart, np.inf)
    near = np.quantile(apart.min(1), 0.95)
    assert found.near == pytest.approx(near, rel=2e-3)  # references are float16
    wanted = np.linalg.norm((others - mean)[:, None] / deviation - standard, axis=2).min(1) / near
    np.testing.assert_allclose(found.distance(torch.from_numpy(others)), wanted, rtol=5e-3)
    assert found.distance(torch.from_numpy(train)).max() < 0.01
    assert found.references.dtype == torch.float16


def test_references_are_drawn_evenly_and_no_more_than_so_many(monkeypatch):
    monkeypatch.setattr(domain, "REFERENCES", 5)
    train = torch.arange(21.0)[:, None]
    found = Neighbourhood.of(train)
    standard = (train - train.mean()) / train.std(correction=0)
    assert torch.equal(found.references, standard[[0, 5, 10, 15, 20]].half())
    # The farthest are two from one; references themselves, five from the next, are a quarter.
    assert found.near == pytest.approx(5 / float(train.std(correction=0)), rel=1e-2)


def test_a_feature_that_is_always_the_same_does_not_rule():
    train = torch.randn(30, 2, generator=torch.Generator().manual_seed(0))
    train[:, 1] = 3.0
    found = Neighbourhood.of(train)
    near = found.distance(torch.tensor([[0.0, 3.0 + 1e-6]]))
    assert near < 1 and found.distance(torch.tensor([[0.0, 4.0]])) > 100
    assert Neighbourhood.of(train[:1]) is None
    assert Neighbourhood.of(train[:1].expand(9, 2)).distance(train[:1]) < 1e-3


def test_a_molecule_s_features_are_the_mean_of_its_atoms(make, ethanol):
    network = force2geo.load(make("m.pt")).network
    water = np.array([8, 1, 1]), np.array([[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])
    batch = collate(*zip(water, ethanol, strict=True))
    kept = []
    network.backbone.register_forward_hook(lambda *called: kept.append(called[-1].scalars))
    output, features = network.described(batch)
    (atoms,) = kept
    for row, own in enumerate((slice(0, 3), slice(3, 12))):
        np.testing.assert_allclose(features[row], atoms[own].mean(dim=0), atol=1e-6)
    for name, values in network(batch).items():
        assert torch.equal(values, output[name]), name


def test_a_checkpoint_keeps_it_and_one_of_before_has_none(make):
    known = force2geo.load(make("m.pt", errors={"gap": 0.25, "dipole": 0.5})).domain
    assert known.atoms == (2, 100) and known.heavy == (1, 40)
    assert known.errors == {"gap": 0.25, "dipole": 0.5} and known.neighbourhood.near == 1e3
    assert force2geo.load(make("old.pt", domain=False)).domain is None
    for broken in ({}, {"atoms": 3}, known.plain() | {"neighbourhood": {"near": 1.0}}):
        with pytest.raises(UserError, match="training set is none"):
            Domain.of_plain(broken)


def test_errors_are_told_by_what_95_percent_do_not_exceed():
    assert quantile(torch.tensor([-1.0] * 96 + [3.0] * 4)) == pytest.approx(1)
    assert quantile(torch.tensor([-1.0] * 94 + [3.0] * 6)) == pytest.approx(3)
