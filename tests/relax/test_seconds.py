"""What a relaxation takes is laid on its molecules, and goes with them to disk and back."""

import h5py
import numpy as np
import pytest
from test_relaxation import fresh, springs

from force2geo.relax import batched
from force2geo.relax.batched import relax, relax_runs
from force2geo.relax.journal import Journal
from force2geo.relax.result import read_relaxed, read_runs, write_relaxed


class Clock:
    """Time that stands still but where forces are computed, a second each."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        return self.now

    def springs(self, batch):
        self.now += 1.0
        return springs(batch)


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(batched, "time", clock)
    return clock


def two():
    rng = np.random.default_rng(4)
    return [np.full(n, 6) for n in (2, 6)], [1.2 * rng.normal(size=(n, 3)) for n in (2, 6)]


def test_each_has_its_atoms_share_of_the_steps_it_took(clock):
    one, other = relax(*two(), clock.springs, 0.01, 60)
    together = min(one.steps, other.steps) + 1
    alone = max(one.steps, other.steps) + 1 - together
    expected = {2: together / 4, 6: 3 * together / 4}
    expected[2 if one.steps > other.steps else 6] += alone
    assert [one.seconds, other.seconds] == pytest.approx([expected[2], expected[6]])
    assert one.seconds + other.seconds == pytest.approx(clock.now)


def test_what_threads_take_is_what_they_take_together(monkeypatch):
    evaluated = []

    class Still:
        def perf_counter(self):
            return float(len(evaluated))

    def counted(batch):
        evaluated.append(1)
        return springs(batch)

    monkeypatch.setattr(batched, "time", Still())
    numbers, positions = two()
    runs = relax(numbers * 2, positions * 2, counted, 0.01, 60, threads=1)
    assert sum(run.seconds for run in runs) == pytest.approx(len(evaluated))
    evaluated.clear()
    monkeypatch.setattr(batched, "ThreadPoolExecutor", InTurn)
    runs = relax(numbers * 2, positions * 2, counted, 0.01, 60, threads=2)
    # Each of both has half of what it sees pass.
    assert sum(run.seconds for run in runs) == pytest.approx(len(evaluated) / 2)


class InTurn:
    """A pool that does one task after the other."""

    def __init__(self, *_, **__):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def submit(self, function, *arguments):
        from concurrent.futures import Future

        done = Future()
        done.set_result(function(*arguments))
        return done


def test_a_kill_forgets_no_time(tmp_path, clock):
    numbers, positions = two()
    left = [9]

    def evaluate(batch):
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        return clock.springs(batch)

    def run(function):
        journal = Journal(tmp_path / "out.h5", {}, fresh(numbers, positions))

        def on_step(moving):
            journal.moving(moving)
            journal.flush()

        relax_runs(journal.left(), function, 0.01, 60,
                   on_step=on_step, on_finished=journal.finished)  # fmt: skip
        return journal

    with pytest.raises(KeyboardInterrupt):
        run(evaluate)
    runs = list(run(clock.springs).results())
    assert sum(one.seconds for one in runs) == pytest.approx(clock.now)


def test_files_of_before_do_not_know(tmp_path, clock):
    runs = relax(*two(), clock.springs, 0.01, 60)
    path = tmp_path / "r.h5"
    write_relaxed(path, ["1", "2"], runs)
    seconds = [one.seconds for one in runs]
    assert (
        read_relaxed(path).seconds.tolist() == [one.seconds for one in read_runs(path)] == seconds
    )
    with h5py.File(path, "a") as file:
        assert file["seconds"].attrs["units"] == "s"
        del file["seconds"]
    assert np.isnan(read_relaxed(path).seconds).all()
    assert all(np.isnan(one.seconds) for one in read_runs(path))
