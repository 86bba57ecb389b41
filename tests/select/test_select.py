"""Superposition and conformers."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from force2geo.select.superpose import rmsd, superpose
from force2geo.training_data.embed import embed_like


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
    chiral = np.array([[0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 3.0]])
    assert rmsd(chiral * [-1, 1, 1], chiral) > 0.3


def test_conformer_follows_the_reference_atom_order(ethanol):
    numbers, positions = ethanol
    shuffle = np.random.default_rng(0).permutation(len(numbers))
    found = embed_like("CCO", numbers[shuffle], positions[shuffle], seed=1)
    assert found is not None
    reference = np.linalg.norm(positions[shuffle][:, None] - positions[shuffle], axis=2)
    distances = np.linalg.norm(found[:, None] - found, axis=2)
    bonded = (reference > 0) & (reference < 1.2)
    assert np.abs(distances - reference)[bonded].max() < 0.15


def test_conformer_of_another_molecule_is_refused(ethanol):
    assert embed_like("CCN", *ethanol, seed=1) is None
    assert embed_like("not smiles", *ethanol, seed=1) is None
