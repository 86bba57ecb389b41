"""A pool of hidden labels: what is chosen of it, and the training sets that are made of that."""

import h5py
import numpy as np
import pytest
import torch
from active_pools import FRAMES, PARTS, Told, moved
from active_potentials import potentials
from ase import Atoms

from force2geo.active.choice import Chosen, write_choice
from force2geo.active.disagreement import read_committee, spreads
from force2geo.active.snapshots import Hidden, choose, write_round
from force2geo.cli import main
from force2geo.errors import UserError
from force2geo.files import write_json
from force2geo.potentials.checkpoint import load
from force2geo.train.snapshots import Snapshots

TRAIN = [cid for cid, part in PARTS.items() if part == "train"]
SPREAD = {"choose": "spread", "seed": 7, "round": 1, "budget": 4, "per_molecule": 2,
          "distance": 0.0}  # fmt: skip
RANDOM = {"choose": "random", "seed": 7, "round": 0, "budget": 4}


def opened(positions):
    return float(np.arctan2(positions[2, 1], positions[2, 0]))


def keys(chosen):
    return [(one.cid, one.frame) for one in chosen]


def test_the_frames_of_largest_spread_are_chosen_and_none_of_test(pool):
    chosen = choose(pool, SPREAD, [], Told(opened))
    # The angle, which is the spread, is 2.25, 2.15, 2.12 and 2.02; 2.05 is a third one of its
    # molecule.
    assert keys(chosen) == [("000000016", 4), ("000000016", 3), ("000000015", 4), ("000000015", 3)]
    assert [one.spread for one in chosen] == pytest.approx(
        [opened(moved(place, frame)) for place, frame in ((5, 4), (5, 3), (4, 4), (4, 3))]
    )
    everything = choose(pool, SPREAD | {"budget": 20, "per_molecule": 5}, [], Told(opened))
    assert sorted(keys(everything)) == [(cid, frame) for cid in TRAIN for frame in range(FRAMES)]
    with pytest.raises(UserError, match="21 labels are wanted and the pool has 20"):
        choose(pool, SPREAD | {"budget": 21, "per_molecule": 5}, [], Told(opened))


def test_what_was_chosen_is_not_chosen_again_nor_what_is_like_it(pool, tmp_path):
    write_choice(tmp_path / "a.csv", [Chosen("000000016", 4), Chosen("000000015", 2)])
    earlier = [tmp_path / "a.csv"]
    first = keys(choose(pool, SPREAD | {"budget": 2}, earlier, Told(opened)))
    assert first == [("000000016", 3), ("000000015", 4)]
    # Superposed, the farthest atoms of two frames in turn are 0.03 Å apart.
    far = keys(choose(pool, SPREAD | {"budget": 2, "distance": 0.05}, earlier, Told(opened)))
    assert far == [("000000015", 4), ("000000016", 2)]


def test_chance_draws_as_many_and_within_limits_where_it_is_told(pool):
    drawn = {seed: keys(choose(pool, RANDOM | {"seed": seed}, [])) for seed in range(30)}
    assert all(len(set(found)) == 4 for found in drawn.values())
    assert len({tuple(found) for found in drawn.values()}) > 25
    assert {cid for found in drawn.values() for cid, _ in found} == set(TRAIN)
    # Elements that one molecule has are in each first draw: four networks know the same.
    assert all("000000011" in dict(found) for found in drawn.values())
    one_each = SPREAD | {"choose": "frames", "per_molecule": 1}
    assert sorted(cid for cid, _ in keys(choose(pool, one_each, []))) == TRAIN


def test_no_label_is_looked_at(pool):
    ways = [(SPREAD, Told(opened)), (RANDOM, None)]
    before = [choose(pool, settings, [], committee) for settings, committee in ways]
    with h5py.File(pool, "r+") as file:
        file["energy"][:] = np.random.default_rng(0).normal(size=file["energy"].shape)
        file["forces"][:] = 0.0
    after = [choose(pool, settings, [], committee) for settings, committee in ways]
    assert [keys(one) for one in after] == [keys(one) for one in before]


def test_a_round_trains_on_what_was_chosen_and_is_tested_on_what_all_are(pool, tmp_path):
    write_choice(tmp_path / "a.csv", [Chosen("000000016", 4), Chosen("000000011", 1)])
    write_choice(tmp_path / "b.csv", [Chosen("000000011", 2), Chosen("000000011", 0)])
    choices = [tmp_path / "a.csv", tmp_path / "b.csv"]
    assert write_round(pool, choices, tmp_path / "round.h5") == 4
    whole, part = Snapshots.read(pool), Snapshots.read(tmp_path / "round.h5")
    assert part.sources == whole.sources and part.charge_states() == whole.charge_states()
    for split in ("val", "test"):
        for source in (None, "dft_1st"):
            one, other = whole.where(split, source), part.where(split, source)
            assert one.ids().tolist() == other.ids().tolist() and len(one) > 0
            for name in ("energy", "forces", "positions", "atomic_numbers"):
                both = (getattr(s.batch(np.arange(len(s))), name) for s in (one, other))
                torch.testing.assert_close(*both, rtol=0, atol=0)
    train = part.where("train")
    assert train.ids().astype(str).tolist() == ["000000011"] * 3 + ["000000016"]
    batch = train.batch(np.arange(4))
    assert batch.energy.tolist() == [0.0, 1.0, 2.0, 504.0]
    assert part.where("train", "dft_points").batch(np.arange(2)).energy.tolist() == [2.0, 504.0]
    np.testing.assert_allclose(batch.positions[-3:].numpy(), moved(5, 4), atol=1e-6)
    assert batch.forces[-1].tolist() == [510.0, 511.0, 512.0]
    with pytest.raises(UserError, match="choose a snapshot twice"):
        write_round(pool, [choices[0], choices[0]], tmp_path / "twice.h5")
    write_choice(tmp_path / "c.csv", [Chosen("000000014", 0)])
    with pytest.raises(UserError, match="frame 0 of 000000014 is no training snapshot"):
        write_round(pool, [tmp_path / "c.csv"], tmp_path / "test.h5")
    assert not list(tmp_path.glob("t*.h5"))


def test_the_spread_is_that_of_members_asked_one_by_one(pool, tmp_path):
    paths, hidden = potentials(tmp_path, 3), Hidden(pool)
    found = spreads(read_committee(paths), hidden.sizes, hidden.batch, batch_atoms=7)
    atoms = [hidden.snapshots.batch(np.array([place])) for place in range(20)]
    frames = [Atoms(one.atomic_numbers.numpy(), one.positions.numpy()) for one in atoms]
    forces = np.array([[row["forces"] for row in load(path).predict(frames)] for path in paths])
    by_atom = np.sqrt(((forces - forces.mean(axis=0)) ** 2).sum(axis=(0, 3)) / 2)
    np.testing.assert_allclose(found, by_atom.max(axis=1), rtol=1e-4)
    assert np.ptp(found) > 0.01 * found.max()
    with pytest.raises(UserError, match="1 given; give two potentials or more"):
        read_committee(paths[:1])


def test_the_commands_choose_and_pack_the_same_each_time(pool, tmp_path, capsys):
    paths = [str(path) for path in potentials(tmp_path, 2)]
    for name, settings in (("start", RANDOM), ("next", SPREAD)):
        write_json(tmp_path / f"{name}.json", settings)

    def chosen(name, *more):
        out = tmp_path / f"{name}.csv"
        return main(["choose", "--settings", str(tmp_path / f"{name}.json"), "--data", str(pool),
                     "--out", str(out), *more]), out  # fmt: skip

    assert chosen("start")[0] == 0
    more = ("--earlier", str(tmp_path / "start.csv"), "--model", *paths)
    status, out = chosen("next", *more)
    before = out.read_bytes()
    assert (status, len(before.splitlines())) == (0, 5)
    out.unlink()
    assert chosen("next", *more)[0] == 0 and out.read_bytes() == before
    assert (tmp_path / "next.csv.provenance.json").exists()
    choices = [str(tmp_path / f"{name}.csv") for name in ("start", "next")]
    packed = str(tmp_path / "round.h5")
    assert main(["round", "--data", str(pool), "--choice", *choices, "--out", packed]) == 0
    assert "8 snapshots to train on" in capsys.readouterr().out
    assert chosen("next")[0] == 2 and "needs potentials" in capsys.readouterr().err
    assert chosen("start", "--model", *paths)[0] == 2
    assert "takes no potentials" in capsys.readouterr().err
