"""Work within limits: what is slow, greedy or deadly ends alone."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from force2geo import limited
from force2geo.limited import run_limited


def act(task):
    if task == "sleep":
        time.sleep(60)
    if task == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if task == "eat":
        return float(np.ones(1 << 31).sum())
    if task == "interrupt":
        os.kill(os.getpid(), signal.SIGINT)
    if task == "raise":
        raise ValueError("no good")
    if isinstance(task, tuple):
        Path(task[1]).write_text(str(os.getpid()))
        while True:
            sum(range(10**6))
    return task * 2


def test_every_task_ends_with_a_result_or_its_reason():
    tasks = [1, "die", 2, "raise", "eat", 3, 4]
    found = {place: (value, error) for place, value, error in run_limited(act, tasks, 2, None, 4e3)}
    assert [found[k] for k in (0, 2, 5, 6)] == [(2, ""), (4, ""), (6, ""), (8, "")]
    assert "the process died (exit code -9)" in found[1][1]
    assert found[3][1] == "ValueError: no good"
    assert found[4][1] == "more memory than 4000 MB"


def test_a_task_that_hangs_is_ended(monkeypatch):
    monkeypatch.setattr("force2geo.limited._START", 20.0)
    start = time.monotonic()
    # The first task warms the worker up, so that the second has its own two seconds alone.
    found = {
        place: (value, error) for place, value, error in run_limited(act, [5, "sleep", 6], 1, 2)
    }
    assert found == {0: (10, ""), 1: (None, "took longer than 2 s"), 2: (12, "")}
    assert time.monotonic() - start < 30


def test_no_task_is_no_trouble():
    assert list(run_limited(act, [], 4)) == []


def test_ctrl_c_ends_a_worker_without_a_traceback(capfd):
    ((place, value, error),) = run_limited(act, ["interrupt"], 1)
    assert (place, value) == (0, None) and "the process died (exit code -2)" in error
    assert not capfd.readouterr().err


def test_a_worker_ends_with_who_started_it_whatever_it_is_at(tmp_path):
    """A script needs no guard; killed, it leaves nobody computing for hours."""
    script = tmp_path / "script.py"
    script.write_text(
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from force2geo.limited import run_limited\n"
        "from test_limited import act\n"
        "list(run_limited(act, [('busy', 'worker')], 1))\n"
    )
    process = subprocess.Popen([sys.executable, script], cwd=tmp_path)
    try:
        worker = until(lambda: (tmp_path / "worker").exists() and (tmp_path / "worker").read_text())
        assert alive(int(worker))
    finally:
        process.kill()
        process.wait()
    until(lambda: not alive(int(worker)))


def until(found):
    """Return what is found, in time."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if value := found():
            return value
        time.sleep(0.1)
    raise AssertionError("it took too long")


def alive(pid):
    """Say whether a process runs, and is not merely waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_worker_that_died_while_it_waited_is_told():
    worker = limited._Worker(act, None)
    worker.process.kill()
    worker.process.wait()
    worker.give(3, 1, None)
    place, value, error = limited._answer(worker)
    assert (place, value) == (3, None) and "the process died (exit code -9)" in error


def test_tasks_are_taken_as_they_are_needed():
    """A million of them are in memory at no time."""
    taken = []

    def tasks():
        for number in range(12):
            taken.append(number)
            yield number

    for number, _ in enumerate(run_limited(act, tasks(), 2)):
        assert len(taken) <= number + 4


def test_what_is_early_waits_for_what_is_before():
    ended = iter([(2, "c", ""), (0, "a", ""), (1, None, "no"), (3, "d", "")])
    assert list(limited.in_order(ended)) == [
        (0, "a", ""), (1, None, "no"), (2, "c", ""), (3, "d", ""),
    ]  # fmt: skip
