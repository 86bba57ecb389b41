"""Superposition against scipy's, of one molecule, of a path and of a batch."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from force2geo.superposition import farthest, rmsd, superpose, superpose_molecules, transform

CHIRAL = np.array([[0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 3.0]])


def laid(moving, fixed):
    """What scipy, which takes vectors about a centre, makes of it."""
    turn, _ = Rotation.align_vectors(fixed - fixed.mean(axis=0), moving - moving.mean(axis=0))
    return turn.apply(moving - moving.mean(axis=0)) + fixed.mean(axis=0)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**31), st.integers(3, 30))
def test_superposition_undoes_rigid_motion(seed, atoms):
    rng = np.random.default_rng(seed)
    fixed = rng.normal(size=(atoms, 3))
    moved = fixed @ Rotation.random(random_state=seed).as_matrix() + rng.normal(size=3)
    np.testing.assert_allclose(superpose(moved, fixed), fixed, atol=1e-9)
    noisy = moved + 0.1 * rng.normal(size=moved.shape)
    assert rmsd(noisy, fixed) <= np.sqrt(((noisy - fixed) ** 2).sum(axis=1).mean()) + 1e-12


def test_mirror_image_is_not_superposed():
    assert rmsd(CHIRAL * [-1, 1, 1], CHIRAL) > 0.3


@pytest.mark.parametrize("mirrored", [False, True])
def test_one_molecule_lies_where_scipy_lays_it(mirrored):
    rng = np.random.default_rng(4)
    moving, fixed, others = rng.normal(size=(3, 6, 3))
    if mirrored:
        fixed = moving * [1, 1, -1] + 0.1 * fixed
    np.testing.assert_allclose(superpose(moving, fixed), laid(moving, fixed), atol=1e-9)
    expected = np.sqrt(((laid(moving, fixed) - fixed) ** 2).sum() / 6)
    assert rmsd(moving, fixed) == pytest.approx(expected, abs=1e-9)
    # The motion is the atoms' whole surroundings', distances between the two kept.
    together = np.concatenate([moving, others])
    moved = transform(moving, fixed)(together)
    np.testing.assert_allclose(
        np.linalg.norm(moved[:, None] - moved, axis=2),
        np.linalg.norm(together[:, None] - together, axis=2),
        atol=1e-9,
    )
    np.testing.assert_allclose(moved[:6], laid(moving, fixed), atol=1e-9)


def test_a_path_is_as_far_from_a_point_as_its_farthest_atom():
    rng = np.random.default_rng(5)
    point = CHIRAL + 7
    path = np.stack([point @ Rotation.random(random_state=k).as_matrix() - k for k in range(4)])
    path[1] += rng.normal(scale=0.3, size=point.shape)
    path[2] *= [1, 1, -1]
    expected = [np.linalg.norm(laid(frame, point) - point, axis=1).max() for frame in path]
    found = farthest(path, point)
    np.testing.assert_allclose(found, expected, atol=1e-9)
    assert found[0] < 1e-9 and found[1] > 0.1 and found[2] > 0.3
    path[0, 1, 0], path[1] = np.nan, path[1] * 1e200  # no number, and one whose square is none
    assert np.isinf(farthest(path, point)[:2]).all() and farthest(path, point)[3] < 1e-9


@pytest.mark.parametrize(
    ("kind", "near"), [(torch.float64, 1e-9), (torch.float32, 1e-6)], ids=["double", "single"]
)
def test_each_molecule_of_a_batch_lies_where_scipy_lays_it_alone(kind, near):
    rng = np.random.default_rng(2)
    sizes = [4, 5, 3, 7]
    # From far away: sums of single precision would lose where a molecule is.
    moving = [rng.normal(size=(n, 3)) + 500 for n in sizes]
    fixed = [rng.normal(size=(n, 3)) for n in sizes]
    fixed[3] = (moving[3] - 500) * [1, 1, -1] + 0.1 * rng.normal(size=(7, 3))
    counts = torch.tensor(sizes)
    moving, fixed = (
        torch.tensor(np.concatenate(x), dtype=kind).split(sizes) for x in (moving, fixed)
    )
    molecule = torch.repeat_interleave(torch.arange(4), counts)
    found = superpose_molecules(torch.cat(moving), torch.cat(fixed), molecule, counts)
    assert found.dtype == kind
    for one, other, place in zip(moving, fixed, found.split(sizes), strict=True):
        expected = laid(one.double().numpy(), other.double().numpy())
        np.testing.assert_allclose(place.numpy(), expected, atol=near)


def test_a_lone_atom_is_shifted():
    counts = torch.tensor([1, 1])
    one, other = torch.arange(6.0).view(2, 3), torch.ones(2, 3)
    assert torch.equal(superpose_molecules(one, other, torch.tensor([0, 1]), counts), other)
    np.testing.assert_array_equal(superpose(CHIRAL[1:2], CHIRAL[2:3]), CHIRAL[2:3])
