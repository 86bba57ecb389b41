"""Work in other processes, each piece within limits of time and memory."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any

from force2geo.fresh import connected, end_with, started

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from multiprocessing.connection import Connection

    Ended = tuple[int, Any, str]  # a task's place, its result or None, its error or nothing

_START = 120.0  # seconds a worker may take to import what it needs, on top of a task's limit


class _Worker:
    """A process that does one task after the other, and the task it is at."""

    def __init__(self, function: Callable[[Any], Any], megabytes: float | None) -> None:
        self.process, end = started("force2geo.limited:serve")
        with end:
            self.connection = connected(end)
        self.connection.send((function, megabytes))
        self.index: int | None = None
        self.deadline = float("inf")
        self.fresh = True

    def give(self, index: int, task: Any, seconds: float | None) -> None:
        self.index = index
        extra = _START if self.fresh else 0.0
        self.deadline = time.monotonic() + (seconds + extra if seconds else float("inf"))
        self.fresh = False
        with contextlib.suppress(OSError):  # it died while it waited, which its answer tells
            self.connection.send(task)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self.connection.close()


def serve(connection: Connection, parent: int) -> None:
    """Do the tasks that come over a connection, until it is closed or the parent is gone."""
    # Ctrl-C reaches the whole group: here it ends a process without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    end_with(parent)
    function, megabytes = connection.recv()
    if megabytes:
        import resource

        most = int(megabytes * 2**20)
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    with contextlib.suppress(EOFError, OSError):  # nobody asks any more
        while True:
            connection.send(_did(function, connection.recv(), megabytes))


def _did(function: Callable[[Any], Any], task: Any, megabytes: float | None) -> tuple[bool, Any]:
    """Return whether a task could be done, and its result or its error."""
    try:
        return True, function(task)
    except MemoryError:
        return False, f"more memory than {megabytes:.0f} MB" if megabytes else "no memory"
    except Exception as error:
        return False, f"{type(error).__name__}: {error}"


def run_limited(
    function: Callable[[Any], Any],
    tasks: Iterable[Any],
    workers: int,
    seconds: float | None = None,
    megabytes: float | None = None,
) -> Iterator[Ended]:
    """Yield place, result and error of every task as it ends; one of the two is empty.

    `function` is a module's own; tasks are taken one by one, as workers are free. A task that takes
    longer than `seconds`, needs more than `megabytes` of address space or brings its process down
    ends with an error; the others go on.
    """
    waiting = enumerate(tasks)
    following = next(waiting, None)
    pool: list[_Worker] = []
    try:
        while following or pool:
            while following and len(pool) < workers:
                pool.append(_Worker(function, megabytes))
                pool[-1].give(*following, seconds)
                following = next(waiting, None)
            for worker in pool:
                if worker.index is None and following:
                    worker.give(*following, seconds)
                    following = next(waiting, None)
            idle = [worker for worker in pool if worker.index is None]
            for worker in idle:
                pool.remove(worker)
                worker.end()
            if not pool:
                break
            patience = min(worker.deadline for worker in pool) - time.monotonic()
            ready = wait(
                [worker.connection for worker in pool],
                None if patience == float("inf") else max(0.0, patience),
            )
            for worker in list(pool):
                if worker.connection in ready:
                    yield _answer(worker)
                elif time.monotonic() > worker.deadline:
                    yield worker.index or 0, None, f"took longer than {seconds:.0f} s"
                    worker.index = None
                    worker.end()
                if worker.connection.closed:
                    pool.remove(worker)
    finally:
        for worker in pool:
            worker.end()


def _answer(worker: _Worker) -> tuple[int, Any, str]:
    assert worker.index is not None
    index, worker.index = worker.index, None
    try:
        good, value = worker.connection.recv()
    except (EOFError, OSError):
        with contextlib.suppress(subprocess.TimeoutExpired):
            worker.process.wait(5)
        code = worker.process.returncode
        worker.end()
        return index, None, f"the process died (exit code {code}): out of memory, perhaps"
    return (index, value, "") if good else (index, None, value)


def in_order(ended: Iterator[Ended]) -> Iterator[Ended]:
    """Yield what has ended in the order of the tasks; what is early is held back."""
    early: dict[int, Ended] = {}
    following = 0
    for place, found, error in ended:
        early[place] = place, found, error
        while following in early:
            yield early.pop(following)
            following += 1
