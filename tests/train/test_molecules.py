"""The downstream set: which geometry is learnt from, judged on and true."""

import numpy as np
import pytest

from force2geo.errors import UserError
from force2geo.train.molecules import Molecules, molecules
from force2geo.training_data.conformers import Conformers, Target


@pytest.fixture
def conformers():
    """Three molecules whose coordinates say what they are: 100 molecule + 10 geometry + atom."""
    sizes = [3, 2, 4]
    ptr = np.concatenate([[0], np.cumsum(sizes)])
    atom = np.concatenate([np.arange(n) for n in sizes])
    base = 100.0 * np.repeat(np.arange(3), sizes) + atom
    geometry = {
        name: np.repeat((base + 10.0 * place)[:, None], 3, axis=1)
        for place, name in enumerate(("dft", "hf", "rdkit"), 1)
    }
    geometry["rdkit"][ptr[1] : ptr[2]] = np.nan
    return Conformers(
        ["000000007", "000000003", "000000005"], ptr, np.array([8, 1, 1, 1, 9, 7, 1, 1, 1]),
        {"gap": Target(np.array([1.0, 2.0, 3.0]), "eV")}, geometry, np.array([0, 0, 1]),
        np.array([1, 1, 2]),
    )  # fmt: skip


def values(positions):
    """Return the first coordinate of the atoms, which says it all."""
    return positions[:, 0].tolist()


@pytest.mark.parametrize(("geometry", "shift"), [("dft", 10), ("hf", 20), ("rdkit", 30)])
def test_molecules_see_the_geometry_asked_for_and_the_truth_is_dft_s(conformers, geometry, shift):
    found = molecules(conformers, ["000000005", "000000007"], geometry)
    numbers = [200, 201, 202, 203, 0, 1, 2]
    assert values(found.fixed) == [n + shift for n in numbers]
    assert values(found.truth) == [n + 10 for n in numbers]
    assert found.targets["gap"].tolist() == [3.0, 1.0] and found.units == {"gap": "eV"}
    assert found.atomic_numbers.tolist() == [7, 1, 1, 1, 8, 1, 1]
    assert found.states.tolist() == [[1, 2], [0, 1]]
    assert found.ids().tolist() == [b"000000005", b"000000007"]
    batch = found.batch(np.array([1, 0]))
    assert batch.targets["gap"].tolist() == [1.0, 3.0]
    assert batch.charge.tolist() == [0, 1] and batch.multiplicity.tolist() == [1, 2]
    assert values(batch.positions) == [n + shift for n in (0, 1, 2, 200, 201, 202, 203)]
    assert batch.displacement is None


def test_a_relaxation_is_judged_by_its_end_and_learnt_from_all_along(conformers):
    def path(base, frames):
        return np.array([np.repeat((base + 1000.0 * k)[:, None], 3, axis=1) for k in frames])

    paths = {"000000003": path(np.arange(2), [1, 2, 3]), "000000007": path(np.arange(3), [4, 5])}
    cids = ["000000003", "000000007"]
    found = molecules(conformers, cids, "force2geo", paths, noise=0.0, sample=True)
    assert values(found.fixed) == [3000, 3001, 5000, 5001, 5002]
    assert values(found.truth) == [110, 111, 10, 11, 12]
    # Judged without a toss, learnt from with one: the truth, or any frame of one's own path.
    assert values(found.batch(np.array([0])).positions) == [3000, 3001]
    seen = {0: set(), 1: set()}
    for seed in range(60):
        batch = found.batch(np.array([0, 1]), np.random.default_rng(seed))
        one, two = batch.positions[:2, 0].tolist(), batch.positions[2:, 0].tolist()
        assert one[1] == one[0] + 1 and two[2] == two[0] + 2
        seen[0].add(one[0])
        seen[1].add(two[0])
    assert seen == {0: {110, 1000, 2000, 3000}, 1: {10, 4000, 5000}}
    judged = molecules(conformers, cids, "force2geo", paths)
    assert judged.frames is None and values(judged.fixed) == values(found.fixed)


def test_a_geometry_without_a_path_is_one_frame(conformers):
    found = molecules(conformers, ["000000007"], "hf", sample=True)
    seen = {
        found.batch(np.array([0]), np.random.default_rng(seed)).positions[0, 0].item()
        for seed in range(20)
    }
    assert seen == {10, 20}


def test_molecules_without_a_geometry_are_counted(conformers):
    cids = ["000000003", "000000005", "000000007"]
    found = molecules(conformers, cids, "rdkit")
    assert found.ids().tolist() == [b"000000005", b"000000007"]
    assert found.left_out == {"no geometry 'rdkit'": 1}
    assert molecules(conformers, cids, "hf").left_out == {}
    with pytest.raises(UserError, match="no molecule of a split is of use: no geometry 'rdkit'"):
        molecules(conformers, ["000000003"], "rdkit")
    with pytest.raises(UserError, match="downstream set lacks CID 000000001: "):
        molecules(conformers, ["000000001"], "hf")


def test_what_is_known_is_kept_whole(conformers):
    cids = ["000000005", "000000003", "000000007"]
    found = molecules(conformers, cids, "hf", sample=True).known_to(
        {"elements": [1, 7, 8], "charge_states": [[0, 1], [1, 2]]}
    )
    assert found.ids().tolist() == [b"000000005", b"000000007"]
    assert found.left_out == {"training has not seen F": 1}
    assert values(found.fixed) == [220, 221, 222, 223, 20, 21, 22]
    assert found.ptr.tolist() == [0, 4, 7]
    seen = {
        found.batch(np.array([1]), np.random.default_rng(seed)).positions[0, 0].item()
        for seed in range(20)
    }
    assert seen == {10, 20}
    neutral = molecules(conformers, cids, "hf").known_to(
        {"elements": [1, 7, 8, 9], "charge_states": [[0, 1]]}
    )
    assert neutral.ids().tolist() == [b"000000003", b"000000007"]
    assert neutral.left_out == {"training has not seen charge +1 with multiplicity 2": 1}
    assert neutral.elements() == [1, 8, 9] and neutral.charge_states() == [[0, 1]]


def test_the_toss_is_even_and_every_frame_of_a_path_as_likely():
    path = np.arange(1.0, 5.0)[:, None, None] * np.ones((4, 1, 3))
    data = Molecules.of([np.array([6])], {}, [np.zeros((1, 3))], [np.zeros((1, 3))], [path])
    batch = data.batch(np.zeros(40_000, dtype=int), np.random.default_rng(0))
    counts = np.bincount(batch.positions[:, 0].round().long().numpy())
    # Standard deviations are 0.0025 and 0.0017.
    np.testing.assert_allclose(counts / 40_000, [0.5, *[0.125] * 4], atol=0.01)


def test_mix_is_half_and_half_by_structure_and_targets_point_to_the_truth():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(4, 3))
    path = np.array([truth + 5.0 + 0.01 * k * rng.normal(size=(4, 3)) for k in range(1, 4)])
    data = Molecules.of(
        atomic_numbers=[np.array([6, 1, 1, 8])] * 400, targets={}, fixed=[truth] * 400,
        truth=[truth] * 400, paths=[path] * 400, noise=0.1,
    )  # fmt: skip
    batch = data.batch(np.arange(400), np.random.default_rng(1))
    inputs = batch.positions.numpy().reshape(400, 4, 3)
    target = inputs + batch.displacement.numpy().reshape(400, 4, 3)
    from_path = inputs.mean(axis=(1, 2)) - truth.mean() > 2.5
    assert 160 < from_path.sum() < 240
    np.testing.assert_allclose(target[~from_path], np.broadcast_to(truth, target[~from_path].shape),
                               atol=1e-5)  # fmt: skip
    assert len({round(float(x[0, 0]), 4) for x in inputs[from_path]}) == 3  # frames
    noise = (inputs - truth)[~from_path]
    assert noise.std() == pytest.approx(0.1, rel=0.1)
    # Frames lie 5 Å away: the truth is moved onto them before it becomes a target.
    moved = batch.displacement.numpy().reshape(400, 4, 3)[from_path]
    assert np.abs(moved).max() < 0.2
