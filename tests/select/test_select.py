"""Conformers in the order of a reference."""

import numpy as np

from force2geo.training_data.embed import embed_like


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
