"""Many tasks in processes of their own: limits, a second try, results kept, and their order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from force2geo.limited import in_order as in_order_of
from force2geo.limited import run_limited

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from force2geo.limited import Ended

AGAIN = 2
"""A second try has so many times the time and memory, and as many fewer workers."""


def run_tasks(
    function: Callable[[Any], Any],
    tasks: Sequence[Any],
    workers: int,
    seconds: float | None = None,
    megabytes: float | None = None,
    *,
    recall: Callable[[int], Any] | None = None,
    keep: Callable[[int, Any], None] | None = None,
    again: Callable[[Any, str], bool] | None = None,
    in_order: bool = False,
) -> Iterator[Ended]:
    """Yield place, result and error of every task; of the two the result is None, or the error "".

    `function` is a module's own; tasks begin in their order, each within the limits of
    `run_limited`. `recall` gives the result that an earlier call kept of the task at a place, None
    where it must be computed; `keep` is handed each new one as soon as it is there. Tasks of which
    `again` says so of result and error are tried once more after the others, with `AGAIN` times the
    room. Results come as they are there, with `in_order` in that of the tasks.
    """
    ended = _ended(function, tasks, workers, (seconds, megabytes), recall, keep, again)
    return in_order_of(ended) if in_order else ended


def _ended(
    function: Callable[[Any], Any],
    tasks: Sequence[Any],
    workers: int,
    limits: tuple[float | None, float | None],
    recall: Callable[[int], Any] | None,
    keep: Callable[[int, Any], None] | None,
    again: Callable[[Any, str], bool] | None,
) -> Iterator[Ended]:
    waiting = []
    for place in range(len(tasks)):
        found = recall(place) if recall else None
        if found is None:
            waiting.append(place)
        else:
            yield place, found, ""
    for room in (1, AGAIN):
        if not waiting:
            return
        left = []
        wider = [limit and limit * room for limit in limits]
        work = [tasks[place] for place in waiting]
        for number, found, error in run_limited(function, work, max(1, workers // room), *wider):
            place = waiting[number]
            if room == 1 and again and again(found, error):
                left.append(place)
                continue
            if keep and not error:
                keep(place, found)
            yield place, found, error
        waiting = sorted(left)
