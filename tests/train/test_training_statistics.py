"""What networks are told of a training set, and the seeds of a batch, worked out by hand."""

import numpy as np
import pytest

from force2geo.potentials.backbone import Statistics
from force2geo.train import statistics
from force2geo.train.seeds import DATA, MODEL, OBJECTIVE, generator_of, seed_of
from force2geo.train.snapshots import Snapshots
from force2geo.training_data.packed import PackedWriter


@pytest.fixture
def snapshots(tmp_path):
    """A chain of three atoms, a pair that is apart, and a triangle with forces that are large."""
    writer = PackedWriter(tmp_path / "x.h5", ["dft_1st"])
    chain = np.array([[0.0, 0, 0], [1.0, 0, 0], [2.0, 0, 0]])
    triangle = np.array([[0.0, 0, 0], [1.0, 0, 0], [0.0, 1.0, 0]])
    for number, (elements, positions, force) in enumerate(
        [([1, 8, 1], chain, [1.0, 2.0, 2.0]), ([6, 6], 3 * chain[:2], [0.0, 0.0, 0.0]),
         ([7, 9, 9], triangle, [0.0, 0.0, 6.0])]
    ):  # fmt: skip
        forces = np.tile(force, (len(elements), 1))
        writer.add(f"{number:09d}", np.array(elements), positions[None], np.zeros(1),
                   forces[None], "dft_1st", "train")  # fmt: skip
    writer.close()
    return Snapshots.read(tmp_path / "x.h5")


def test_neighbours_are_of_an_atom_and_forces_of_a_component(snapshots, monkeypatch):
    # Under 1.3 Å the ends of the chain have one neighbour and its middle two; so has the
    # triangle, whose long side is 1.41 Å. Squares of forces: 3 × 9, nothing, 3 × 36.
    expected = Statistics((1, 6, 7, 8, 9), 8 / 8, (135 / 24) ** 0.5)
    assert statistics.statistics_of(snapshots, 1.3) == expected
    assert statistics.statistics_of(snapshots, 1.5).mean_neighbours == 10 / 8
    assert statistics.statistics_of(snapshots, 5.0).mean_neighbours == 14 / 8
    # Of many, some evenly spaced: here the first and the last. Elements are those of all.
    monkeypatch.setattr(statistics, "_SNAPSHOTS", 2)
    some = statistics.statistics_of(snapshots, 5.0)
    assert some == Statistics((1, 6, 7, 8, 9), 2.0, pytest.approx(7.5**0.5))


def test_what_divides_is_never_nought(snapshots):
    pair = snapshots.where("train")
    pair.rows = pair.rows[1:2]
    assert statistics.statistics_of(pair, 1.3) == Statistics((6,), 1.0, 1.0)


def test_snapshots_are_counted(packed, monkeypatch):
    monkeypatch.setattr("force2geo.train.snapshots._CHUNK", 5)
    numbers, ptr = packed.atomic_numbers.numpy(), packed.ptr.numpy()
    test = packed.where("test")
    rows = [row for row in range(48) if row // 4 % 4 == 3]  # four of each molecule
    assert test.rows.tolist() == rows and len(test) == 12
    assert test.sizes().tolist() == [ptr[row + 1] - ptr[row] for row in rows]
    assert test.ids().tolist() == [b"%09d" % (row // 4) for row in rows]
    parts = list(test.compositions())
    assert [len(energy) for _, energy in parts] == [5, 5, 2]
    counts = np.concatenate([part.numpy() for part, _ in parts])
    expected = [np.bincount(numbers[ptr[row] : ptr[row + 1]], minlength=101) for row in rows]
    np.testing.assert_array_equal(counts, expected)
    energies = np.concatenate([energy.numpy() for _, energy in parts])
    np.testing.assert_array_equal(energies, packed.energy.numpy()[rows])
    assert test.elements() == np.flatnonzero(np.sum(expected, axis=0)).tolist()
    # 25 bytes an atom, 20 a snapshot without its CID, and where the last one ends.
    assert packed.bytes == 25 * len(numbers) + 20 * 48 + 8


# What resumed and repeated trainings rest on: of numpy, and never to change.
SEEDS = {
    (DATA, 1, 0, 0, 0): 9163620953455220497,
    (OBJECTIVE, 1, 0, 0, 0): 7834391830018050224,
    (MODEL, 1, 0, 0, 0): 3257387156989759991,
    (MODEL, 7, 3, 11, 1): 4351972033194788648,
    (MODEL, 7, 11, 3, 1): 6337436608034742263,
}


@pytest.mark.parametrize("place", SEEDS)
def test_seeds_are_numpy_s_of_seed_epoch_batch_and_process(place):
    purpose, seed, *where = place
    sequence = np.random.SeedSequence(seed, spawn_key=(purpose, *where))
    assert seed_of(*place) == SEEDS[place] == int(sequence.generate_state(1, np.uint64)[0]) // 2
    assert generator_of(*place).random() == np.random.default_rng(sequence).random()
