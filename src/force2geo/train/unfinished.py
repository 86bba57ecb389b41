"""The folder of an unfinished training: whose it is, and what it goes on from."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import torch

from force2geo.errors import UserError
from force2geo.files import hash_value, write_json
from force2geo.train.processes import is_first_process

if TYPE_CHECKING:
    from pathlib import Path

MIDDLE, LAST, BEST = "middle.ckpt", "last.ckpt", "best.ckpt"
_IDENTITY = "run.json"


def claim(scratch: Path, identity: dict[str, Any]) -> Path:
    """Return the folder in `scratch` of the run that `identity`, plain values, decides.

    Unfinished runs of other settings or inputs stay beside it: they are not gone on with, which
    is said, and are there again when the settings are.
    """
    own = scratch / hash_value(identity)
    if own.exists() or not is_first_process():
        return own
    others = sorted(scratch.glob(f"*/{_IDENTITY}"), key=lambda path: path.stat().st_mtime_ns)
    if others:
        before = json.loads(others[-1].read_text(encoding="utf-8"))
        names = ", ".join(_differences(before, identity)) or "nothing that has a name"
        print(
            f"training starts anew: the unfinished one in {others[-1].parent} had another {names}",
            flush=True,
        )
    write_json(own / _IDENTITY, identity)
    return own


def _differences(one: Any, other: Any, prefix: str = "") -> list[str]:
    """Return the dotted names of what is not the same."""
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return [] if one == other else [prefix or "value"]
    keys = sorted(one.keys() | other.keys())
    return [
        name
        for key in keys
        for name in _differences(one.get(key), other.get(key), f"{prefix}.{key}".lstrip("."))
    ]


def newest(folder: Path) -> Path | None:
    """Return the state to go on from: that of the middle of an epoch is gone at its end."""
    kept = (folder / name for name in (MIDDLE, LAST))
    return next((path for path in kept if path.exists()), None)


def read(path: Path) -> dict[str, Any]:
    """Return a state; `UserError` when it cannot be read."""
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise UserError(
            f"{path}: the state of the unfinished training cannot be read ({reason}); delete "
            f"{path.parent} to start anew"
        ) from error
    return state


def discard(scratch: Path) -> None:
    """Remove all that was kept of unfinished runs, once what was trained is on disk."""
    if is_first_process():
        shutil.rmtree(scratch, ignore_errors=True)
