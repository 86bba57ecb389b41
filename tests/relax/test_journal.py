"""A killed relaxation goes on where it was, and what has finished leaves memory."""

import tracemalloc

import numpy as np
import pytest
from test_relaxation import fresh, springs, starts

from force2geo.relax.batched import relax, relax_runs
from force2geo.relax.journal import Journal
from force2geo.relax.relaxation import Relaxation
from force2geo.relax.result import read_relaxed, read_runs, write_relaxed


class KilledError(Exception):
    pass


@pytest.mark.parametrize("name", ["bfgs", "bfgs-model", "lbfgs", "fire"])
def test_a_killed_run_goes_on_where_it_was(tmp_path, name):
    numbers, positions = starts()
    expected = relax(numbers, positions, springs, 0.01, 60, optimizer=name)
    target, evaluated = tmp_path / "out.h5", []

    def run(calls):
        journal = Journal(target, {"f": 0.01}, fresh(numbers, positions))

        def evaluate(batch):
            nonlocal calls
            calls -= 1
            if calls < 0:
                raise KilledError
            evaluated.append(batch.size)
            return springs(batch)

        def on_step(moving):
            journal.moving(moving)
            journal.flush()

        begun = {run.place for run in journal.left() if run.frames}
        relax_runs(
            journal.left(), evaluate, 0.01, 60, name, batch_atoms=14,
            on_step=on_step, on_finished=journal.finished,
        )  # fmt: skip
        return journal, begun

    for calls in (1, 5, 22, 30):
        with pytest.raises(KilledError):
            run(calls)
    journal, begun = run(10_000)
    assert begun  # molecules that were on their way went on, they did not start again
    runs = list(journal.results())
    assert [run.place for run in journal.left()] == []
    for one, two in zip(expected, runs, strict=True):
        assert (one.status, one.reason, one.steps) == (two.status, two.reason, two.steps)
        assert journal.ended[one.place] == (one.status, one.steps)
        np.testing.assert_allclose(one.frames, two.frames, atol=1e-8)
        np.testing.assert_allclose(one.forces, two.forces, atol=1e-6)
        np.testing.assert_allclose(one.energies, two.energies, atol=1e-8)
        np.testing.assert_allclose(one.max_forces, two.max_forces, atol=1e-6)
    # Of each kill no more is done again than the molecules' newest frames.
    again = sum(evaluated) - sum(run.steps + 1 for run in expected)
    assert 0 <= again <= 4 * len(numbers)
    journal.close()
    assert not any(tmp_path.iterdir())


def test_other_settings_or_starts_begin_anew(tmp_path):
    numbers, positions = starts()
    journal = Journal(tmp_path / "o", {"f": 1}, fresh(numbers, positions))
    journal.finished(relax(numbers[:1], positions[:1], springs)[0])
    journal.flush()
    assert set(Journal(tmp_path / "o", {"f": 1}, fresh(numbers, positions)).ended) == {0}
    moved = Journal(tmp_path / "o", {"f": 1}, fresh(numbers, [x + 0.1 for x in positions]))
    assert not moved.ended and moved.others == [journal.folder]
    charged = fresh(numbers, positions)
    charged[3].charge = 1
    assert not Journal(tmp_path / "o", {"f": 1}, charged).ended
    held = fresh(numbers, positions)
    held[2].fixed = np.ones((9, 3), dtype=bool)
    assert not Journal(tmp_path / "o", {"f": 1}, held).ended
    assert not Journal(tmp_path / "o", {"f": 2}, fresh(numbers, positions)).ended
    # What another call has done is still there, and goes when that call's output is written.
    assert set(Journal(tmp_path / "o", {"f": 1}, fresh(numbers, positions)).ended) == {0}
    moved.flush()
    journal.close()
    assert not any(tmp_path.iterdir())


def test_memory_holds_few_and_the_order_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("force2geo.relax.journal._HELD", 2_000)
    monkeypatch.setattr("force2geo.relax.result._WAITING", 7)
    rng = np.random.default_rng(4)
    numbers = [np.full(n, 6) for n in rng.integers(1, 9, size=40)]
    positions = [1.2 * rng.normal(size=(len(z), 3)) for z in numbers]
    expected = relax(numbers, positions, springs, 0.05, 40)
    journal = Journal(tmp_path / "o", {}, fresh(numbers, positions))
    held = []

    def finished(run):
        journal.finished(run)
        held.append(sum(len(run.frames) * len(run.positions) for run in runs))

    runs = journal.left()
    relax_runs(runs, springs, 0.05, 40, batch_atoms=20, on_finished=finished)
    assert not any(run.frames for run in journal.left())
    # Six numbers an atom and frame: what waits to be written, and what moves.
    assert max(held) < 2_000 / 6 + 20 * 41
    assert len(list(journal.folder.glob("*.h5"))) > 3
    names = [f"{place:09d}" for place in range(40)]
    write_relaxed(tmp_path / "all.h5", names, journal.results())
    found = read_relaxed(tmp_path / "all.h5")
    assert found.cids == names
    assert found.steps.tolist() == [run.steps for run in expected]
    for run, frames, forces in zip(expected, found.frames, found.forces, strict=True):
        np.testing.assert_allclose(run.frames, frames, atol=1e-8)
        np.testing.assert_allclose(run.forces, forces, atol=1e-6)


def test_a_file_is_written_and_read_without_being_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("force2geo.relax.result._WAITING", 1000)
    rng = np.random.default_rng(5)

    def paths():
        for _ in range(400):
            run = Relaxation(np.full(10, 6), np.zeros((10, 3)))
            for frame in rng.normal(size=(50, 10, 3)):
                run.record(frame, frame, 0.0, 0.0)
            yield run

    whole = 400 * 50 * 10 * 3 * 8 * 2
    tracemalloc.start()
    try:
        write_relaxed(tmp_path / "one", ["x"] * 400, paths())
        write_relaxed(tmp_path / "two", ["x"] * 400, read_runs(tmp_path / "one"))
        assert (tmp_path / "two").stat().st_size > whole
        assert tracemalloc.get_traced_memory()[1] < whole / 3
    finally:
        tracemalloc.stop()


def test_a_path_that_grows_meanwhile_is_written_whole(tmp_path):
    numbers, positions = starts()
    journal = Journal(tmp_path / "o", {}, fresh(numbers, positions))
    one = Relaxation(numbers[0], positions[0])
    for _ in range(3):
        one.record(positions[0], positions[0], 1.0, 2.0)
    one.frames.append(positions[0])  # its forces are not there yet
    one.status, one.converged = "converged", True  # by another thread, which has not told yet
    journal.moving([one])
    journal.flush()
    (again, *_) = Journal(tmp_path / "o", {}, fresh(numbers, positions)).left()
    # The last frame whose forces are known is evaluated again.
    assert len(again.frames) == len(again.energies) == again.steps + 1 == 2
    assert again.status == "running" and not again.converged


def test_what_a_file_does_not_hold_is_taken_up_from_the_start(tmp_path):
    numbers, positions = starts()
    begun = fresh(numbers, positions)
    begun[1].fixed, begun[1].bonds = np.ones((5, 3), dtype=bool), np.array([[0, 4]])
    begun[1].charge, begun[1].multiplicity = -1, 2
    journal = Journal(tmp_path / "o", {}, begun)
    moving = journal.left()
    relax_runs(moving[:1] + moving[2:], springs, 0.01, 3, on_finished=journal.finished)
    moving[1].record(positions[1], positions[1], 1.0, 2.0)
    moving[1].record(positions[1], positions[1], 1.0, 2.0)
    journal.moving([moving[1]])
    journal.flush()
    (again,) = Journal(tmp_path / "o", {}, begun).left()
    assert len(again.frames) == 1 and again.steps == 0
    assert again.fixed.all() and again.bonds.tolist() == [[0, 4]]
    assert (again.charge, again.multiplicity) == (-1, 2)


def test_reasons_are_counted_of_what_failed_alone(tmp_path):
    numbers, positions = [np.array([8, 1])] * 6, [np.array([[0.0, 0, 0], [0, 0, 1]])] * 6
    ends = [
        ("exploded", "no licence"), ("refused", "has never seen U"), ("exploded", "no licence"),
        ("converged", ""), ("step limit", "of no account"), ("exploded", "no licence"),
    ]  # fmt: skip
    for begun in (0, 4):  # the second call takes up what the first one wrote
        runs = fresh(numbers, positions)
        journal = Journal(tmp_path / "out.h5", {}, runs)
        assert [run.place for run in journal.left()] == list(range(begun, 6))
        for run, (status, reason) in list(zip(runs, ends, strict=True))[begun : begun + 4]:
            run.record(run.positions, np.zeros((2, 3)), -1.0, 0.0)
            run.status, run.reason = status, reason
            journal.finished(run)
        journal.flush()
    assert journal.reasons == {"no licence": 3, "has never seen U": 1}
    assert journal.ended[4] == ("step limit", 0)
