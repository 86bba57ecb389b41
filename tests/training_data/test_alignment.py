"""Atoms of one file's structure paired with another's: any order maps back, or is told apart."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from force2geo.superposition import rmsd
from force2geo.training_data.alignment import aligned

# Small symmetric ones, by hand: Å.
METHANE = (
    [6, 1, 1, 1, 1],
    0.63 * np.array([[0, 0, 0], [1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]),
)


def _ring(radius, count, start=0.0):
    angles = start + 2 * np.pi * np.arange(count) / count
    return radius * np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1)


BENZENE = ([6] * 6 + [1] * 6, np.concatenate([_ring(1.39, 6), _ring(2.48, 6)]))
ETHYNE = ([1, 6, 6, 1], np.array([[0, 0, z] for z in (-1.66, -0.6, 0.6, 1.66)]))


@pytest.fixture(scope="module")
def molecules(shared_data):
    folder = shared_data / "dft_trajectories"
    paths = sorted(folder.glob("*.npz")) if hasattr(folder, "glob") else []
    if not paths:
        paths = [folder / f"{name}.npz" for name in ("0007", "0047", "0078", "0091", "0168")]
    read = [np.load(path) for path in paths[::4]]
    return [METHANE, BENZENE, ETHYNE, *((one["z"], one["dft_pos"][-1]) for one in read)]


def test_any_order_of_atoms_maps_back(molecules):
    rng = np.random.default_rng(0)
    for numbers, positions in molecules:
        numbers = np.asarray(numbers)
        for _ in range(3):
            order = rng.permutation(len(numbers))
            turn = Rotation.random(random_state=int(rng.integers(1 << 30))).as_matrix()
            moved = (positions @ turn.T + rng.normal(size=3))[order]
            # As another file prints them: less than what is told apart.
            noisy = moved + rng.uniform(-1e-4, 1e-4, size=moved.shape)
            for other, most in ((moved, 1e-9), (noisy, 2e-4)):
                found = aligned(numbers[order], other, numbers, positions)
                assert not isinstance(found, str), (numbers, found)
                assert sorted(found) == list(range(len(numbers)))
                np.testing.assert_array_equal(numbers[order][found], numbers)
                assert rmsd(other[found], positions) < most


def test_an_order_that_holds_is_kept():
    numbers, positions = METHANE
    found = aligned(np.array(numbers), positions + 0.01, np.array(numbers), positions)
    assert found.tolist() == [0, 1, 2, 3, 4]


def test_what_is_no_such_structure_is_told():
    numbers, positions = np.array(METHANE[0]), METHANE[1]
    assert aligned(np.array([7, 1, 1, 1, 1]), positions, numbers, positions) == "another formula"
    assert aligned(numbers[:4], positions[:4], numbers, positions) == "another formula"
    far = positions.copy()
    far[1] *= 3.0
    assert aligned(numbers, far, numbers, positions) == "bonds of another kind"
    bent = positions.copy()
    bent[1] = [-0.2, 0.3, 1.0]
    assert aligned(numbers, bent, numbers, positions).startswith("another structure")


def test_a_mirror_image_is_another_structure():
    # CHFClBr, bonds of one length but for their hydrogen.
    numbers = np.array([6, 1, 9, 17, 35])
    positions = METHANE[1] * np.array([[1], [1], [1.25], [1.6], [1.75]])
    mirrored = positions * np.array([-1, 1, 1])
    assert aligned(numbers, mirrored, numbers, positions).startswith("another structure")
    order = [0, 3, 1, 4, 2]
    found = aligned(numbers[order], positions[order], numbers, positions)
    np.testing.assert_array_equal(np.array(order)[found], np.arange(5))
    # Places that hold, but not of these elements.
    exchanged = numbers[[0, 1, 3, 2, 4]]
    assert aligned(exchanged, positions, numbers, positions).startswith("another structure")
