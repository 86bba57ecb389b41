"""The state of Lightning's loops: the one place that knows what is in it."""

from __future__ import annotations

import sys
from copy import deepcopy
from functools import cache
from typing import Any

import lightning as L

_BATCHES = "epoch_loop.batch_progress"
_COUNTS = {"ready", "started", "processed", "completed"}


def beginning_of_epoch(trainer: L.Trainer) -> dict[str, Any]:
    """Return the state with which Lightning's loops begin this epoch anew; call it there.

    Empty, with a warning, where this Lightning keeps it otherwise: a training then goes on from
    the end of an epoch alone.
    """
    state = deepcopy(trainer.fit_loop.state_dict())
    batches = state.get(_BATCHES)
    if not _is_known(batches):
        _say_unknown()
        return {}
    # Still those of the epoch before, which Lightning would take for this one's.
    batches["is_last_batch"] = False
    batches["current"] = dict.fromkeys(batches["current"], 0)
    return state


def put_in_place(state: dict[str, Any], checkpoint: dict[str, Any]) -> None:
    """Have a checkpoint of the middle of an epoch begin where `beginning_of_epoch` was called."""
    checkpoint["loops"]["fit_loop"] = state


def _is_known(batches: Any) -> bool:
    """Say whether these are the counters that are set back, and nothing else."""
    if not isinstance(batches, dict) or set(batches) != {"total", "current", "is_last_batch"}:
        return False
    current = batches["current"]
    if not isinstance(current, dict) or set(current) != _COUNTS:
        return False
    return all(isinstance(count, int) for count in current.values())


@cache
def _say_unknown() -> None:
    print(
        f"warning: lightning {L.__version__} keeps the state of its loops otherwise than 2.6: a "
        "training that is killed goes on from its last whole epoch",
        file=sys.stderr,
        flush=True,
    )
