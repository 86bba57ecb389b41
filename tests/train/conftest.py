"""A packed data set of springs."""

import numpy as np
import pytest

from force2geo.train.snapshots import Snapshots
from force2geo.training_data.packed import PackedWriter


@pytest.fixture
def packed(tmp_path):
    """Springs: energies and forces of a harmonic toy, 12 molecules in three splits."""
    rng = np.random.default_rng(0)
    writer = PackedWriter(tmp_path / "x.h5", ["dft_1st", "dft_points"])
    for number in range(12):
        numbers = rng.choice([1, 6, 8], size=rng.integers(2, 6))
        if numbers.sum() % 2:  # neutral singlets all
            numbers[np.argmax(numbers == 1)] = 6
        centre = 1.5 * rng.normal(size=(len(numbers), 3))
        moves = 0.1 * rng.normal(size=(4, len(numbers), 3))
        energy = -10.0 * numbers.sum() + (moves**2).sum(axis=(1, 2))
        split = ("train", "train", "val", "test")[number % 4]
        source = ("dft_1st", "dft_points")[number % 2]
        writer.add(f"{number:09d}", numbers, centre + moves, energy, -2 * moves, source, split)
    writer.close()
    return Snapshots.read(tmp_path / "x.h5")
