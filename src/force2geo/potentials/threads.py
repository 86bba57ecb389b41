"""How many threads work on what, on a CPU.

A call for few atoms is thousands of small operations: threads that share each of them wait for one
another most of the time, the more so on a machine that does other work, too.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Task = TypeVar("Task")
    Result = TypeVar("Result")

FEW_ATOMS = 256
"""Fewer atoms than these are computed by one thread."""


@contextmanager
def threads_for(atoms: int) -> Iterator[None]:
    """Let operations use one thread where `atoms` are few, torch's number of threads otherwise."""
    before = torch.get_num_threads()
    if before == 1 or atoms >= FEW_ATOMS:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def share(work: Callable[[Task], Result], tasks: Sequence[Task], threads: int) -> list[Result]:
    """Return the results of tasks, in their order, each task done by one of so many threads."""
    if threads <= 1:
        return [work(task) for task in tasks]
    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
    try:
        return list(pool.map(work, tasks))
    finally:
        pool.shutdown(cancel_futures=True)  # after an error the others need not be done
        torch.set_num_threads(before)  # of threads that start from now on
