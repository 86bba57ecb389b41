"""A calculator in worker processes that outlive a call.

Each molecule that comes again goes to the worker that has its wave function, unless another would
wait for it. A worker ends when the caller does, however that ends.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
import weakref
from collections import OrderedDict, deque
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from force2geo.errors import UserError
from force2geo.fresh import connected, started

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
_HOMES = 1 << 17  # molecules of which it is known which worker they are at
_PATIENCE = 2.0  # seconds for a worker to end by itself


class Task(NamedTuple):
    """A molecule: atomic numbers (n,), positions (n,3) Å, charge, multiplicity.

    `identity` is a number that it has each time that it is asked about on its way; None, and its
    result depends on nothing else at all.
    """

    numbers: np.ndarray
    positions: np.ndarray
    charge: int = 0
    multiplicity: int = 1
    identity: int | None = None


class Found(NamedTuple):
    """Energies (B,) eV, forces (N,3) eV/Å, NaN where there are none, and reasons (B,) why."""

    energies: np.ndarray
    forces: np.ndarray
    reasons: list[str]


class _WorkerDiedError(Exception):
    """A worker ended without an answer."""


class _Worker:
    """A process and what it was asked and has not answered yet, the first first."""

    def __init__(self, record: dict[str, Any]) -> None:
        self._lock = threading.Lock()
        self._asked: deque[Future[Found]] = deque()
        self.dead = ""
        self.process, self._socket = started(
            "force2geo.calling.worker:main",
            dict.fromkeys(_THREADS, "1"),
            quiet=True,  # programs print there what nobody asked for
        )
        self._connection = connected(self._socket)
        self._connection.send(record)
        threading.Thread(target=self._listen, daemon=True).start()

    def ask(self, tasks: Sequence[Task]) -> Future[Found]:
        """Return what will be the answer."""
        future: Future[Found] = Future()
        with self._lock:
            if self.dead:
                future.set_exception(_WorkerDiedError(self.dead))
                return future
            self._asked.append(future)
            with contextlib.suppress(OSError):  # it has died, which the listener tells
                self._connection.send([tuple(task) for task in tasks])
        return future

    def _listen(self) -> None:
        error: Exception | None = None
        while error is None:
            try:
                answer = self._connection.recv()
            except (EOFError, OSError):
                error = _WorkerDiedError(f"its process died (exit code {self.process.wait()})")
                break
            if isinstance(answer, str):
                error = UserError(answer)
                break
            self._asked.popleft().set_result(Found(*answer))
        with self._lock:
            self.dead = str(error)
            while self._asked:
                self._asked.popleft().set_exception(error)
        self._connection.close()

    def end(self) -> None:
        """Let the process go."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        try:
            self.process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def _end(workers: dict[int, _Worker], owner: int) -> None:
    if os.getpid() == owner:  # and not a process forked from it
        for worker in workers.values():
            worker.end()
        workers.clear()


class Pool:
    """So many workers with the calculator of a record (`named.record_of`), started when needed.

    Any thread may ask. They end with the pool, or by `close`.
    """

    def __init__(self, record: dict[str, Any], workers: int) -> None:
        self.record, self.size = record, max(1, workers)
        self._workers: dict[int, _Worker] = {}
        self._homes: OrderedDict[int, int] = OrderedDict()
        self._lock = threading.Lock()
        self.close = weakref.finalize(self, _end, self._workers, os.getpid())

    def start(self, tasks: Sequence[Task]) -> Asked:
        """Ask about molecules and return at once."""
        with self._lock:
            shares = _shares(tasks, self._homes, self.size)
            while len(self._homes) > _HOMES:
                self._homes.popitem(last=False)
        asked = [(own, self._ask(place, [tasks[i] for i in own])) for place, own in shares.items()]
        return Asked(self, tasks, asked)

    def _ask(self, place: int, tasks: Sequence[Task]) -> Future[Found]:
        with self._lock:
            worker = self._workers.get(place)
            if worker is None or worker.dead:
                if worker is not None:
                    worker.end()
                worker = self._workers[place] = _Worker(self.record)
        return worker.ask(tasks)

    def again(self, tasks: Sequence[Task]) -> Iterator[Found]:
        """Yield what is found of molecules of which one brought a worker down, one by one.

        They have a worker for themselves, and whoever is with another has nothing to do with it.
        """
        worker = _Worker(self.record)
        try:
            for task in tasks:
                try:
                    yield worker.ask([task]).result()
                except _WorkerDiedError as error:
                    yield Found(np.array([np.nan]), np.full((len(task.numbers), 3), np.nan),
                                [str(error)])  # fmt: skip
                    worker.end()
                    worker = _Worker(self.record)
        finally:
            worker.end()


class Asked:
    """Molecules that workers are at."""

    def __init__(
        self,
        pool: Pool,
        tasks: Sequence[Task],
        asked: list[tuple[list[int], Future[Found]]],
    ) -> None:
        self._pool, self._tasks, self._asked = pool, tasks, asked

    def result(self) -> Found:
        """Wait, and return what was found of each; `UserError` where there is no such calculator.

        A molecule that brings a worker down has that as its reason, and no other has.
        """
        sizes = np.array([len(task.numbers) for task in self._tasks], dtype=int)
        ends = sizes.cumsum()
        energies = np.full(len(sizes), np.nan)
        forces, reasons = np.full((int(sizes.sum()), 3), np.nan), [""] * len(sizes)
        for places, future in self._asked:
            try:
                answers = [(places, future.result())]
            except _WorkerDiedError:
                alone = self._pool.again([self._tasks[place] for place in places])
                answers = [([place], one) for place, one in zip(places, alone, strict=True)]
            for own, found in answers:
                rows = [np.arange(ends[place] - sizes[place], ends[place]) for place in own]
                energies[own] = found.energies
                forces[np.concatenate(rows)] = found.forces
                for place, reason in zip(own, found.reasons, strict=True):
                    reasons[place] = reason
        return Found(energies, forces, reasons)


def _shares(
    tasks: Sequence[Task], homes: OrderedDict[int, int], workers: int
) -> dict[int, list[int]]:
    """Return which of the tasks each worker gets, and note where molecules are at home.

    The cost of a molecule is taken for the square of its size. One that was somewhere before stays
    there unless all would be ready sooner if it moved.
    """
    costs = [len(task.numbers) ** 2 for task in tasks]
    load = [0] * workers
    at: list[int] = [-1] * len(tasks)
    for place, task in enumerate(tasks):
        if task.identity is not None and task.identity in homes:
            at[place] = homes[task.identity]
            load[at[place]] += costs[place]
    order = sorted(range(len(tasks)), key=lambda place: -costs[place])
    for place in order:
        if at[place] < 0:
            at[place] = load.index(min(load))
            load[at[place]] += costs[place]
    for place in order:
        lightest = load.index(min(load))
        if load[lightest] + costs[place] < load[at[place]]:
            load[at[place]] -= costs[place]
            load[lightest] += costs[place]
            at[place] = lightest
    shares: dict[int, list[int]] = {}
    for place, task in enumerate(tasks):
        shares.setdefault(at[place], []).append(place)
        if task.identity is not None:
            homes[task.identity] = at[place]
            homes.move_to_end(task.identity)
    return shares
