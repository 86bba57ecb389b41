"""Tasks in limited processes: second tries, results kept, and the order they come in."""

import pytest

from force2geo.dft import pool
from force2geo.dft.pool import run_tasks


@pytest.fixture
def asked(monkeypatch):
    """Work is done here, the last task first; what was asked of the processes is in the list."""
    calls = []

    def run(function, tasks, workers, seconds=None, megabytes=None):
        calls.append((list(tasks), workers, seconds, megabytes))
        for place in reversed(range(len(tasks))):
            try:
                yield place, function(tasks[place]), ""
            except MemoryError:
                yield place, None, "no memory"

    monkeypatch.setattr(pool, "run_limited", run)
    return calls


def double(task):
    if task == 13:
        raise MemoryError
    return 2 * task


def test_results_come_as_they_are_there_or_in_the_order_of_tasks(asked):
    ended = [(2, 6, ""), (1, None, "no memory"), (0, 2, "")]
    assert list(run_tasks(double, [1, 13, 3], 2)) == ended
    assert list(run_tasks(double, [1, 13, 3], 2, in_order=True)) == ended[::-1]
    # Nobody said that anything is to be tried again.
    assert [tasks for tasks, *_ in asked] == [[1, 13, 3]] * 2


def test_what_was_kept_is_not_computed_again(asked):
    kept = {1: 0}  # nothing, as a result, is one, too
    found = run_tasks(double, [4, 5, 6], 1, recall=kept.get, keep=kept.__setitem__, in_order=True)
    assert next(found) == (0, 8, "")
    # The last one's result is safe before it is its turn.
    assert kept == {0: 8, 1: 0, 2: 12}
    assert list(found) == [(1, 0, ""), (2, 12, "")]
    assert asked[0][0] == [4, 6]
    assert list(run_tasks(double, [4, 5, 6], 1, recall=kept.get)) == [
        (0, 8, ""), (1, 0, ""), (2, 12, ""),
    ]  # fmt: skip
    assert [tasks for tasks, *_ in asked] == [[4, 6]]


def test_a_second_try_has_more_room_and_its_failure_stays(asked):
    kept = {}
    found = run_tasks(
        double, [1, 13, 2, 7], 5, 10.0, 300.0, keep=kept.__setitem__,
        again=lambda result, error: bool(error) or result == 14,
    )  # fmt: skip
    assert list(found) == [(2, 4, ""), (0, 2, ""), (3, 14, ""), (1, None, "no memory")]
    assert asked == [([1, 13, 2, 7], 5, 10.0, 300.0), ([13, 7], 2, 20.0, 600.0)]
    assert kept == {2: 4, 0: 2, 3: 14}


def test_the_real_processes_keep_to_it_too():
    kept = {}
    found = run_tasks(double, [1, 13, 3], 2, 60.0, 4e3, keep=kept.__setitem__, in_order=True)
    assert list(found) == [(0, 2, ""), (1, None, "more memory than 4000 MB"), (2, 6, "")]
    assert kept == {0: 2, 2: 6}
