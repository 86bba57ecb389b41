"""How far long work is: a bar where a person looks, a line a minute on stderr where none does."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable

_SECONDS = 60.0


class Progress:
    """Progress of `total` pieces of work, None where nobody knows, `done` before; a context."""

    def __init__(self, total: int | None, unit: str, done: int = 0) -> None:
        self.total, self.unit, self.done, self._before = total, unit, done, done
        self._begun = self._told = time.monotonic()
        self._bar: Any = None
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=total, initial=done, unit=unit)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def update(self, count: int = 1) -> None:
        """Take note of finished work."""
        self.done += count
        if self._bar is not None:
            self._bar.update(count)
        self.alive()

    def alive(self, more: Callable[[], str] = str) -> None:
        """Write a line if a minute is over, with what `more` there is to say by then."""
        now = time.monotonic()
        if self._bar is not None or now - self._told < _SECONDS:
            return
        self._told = now
        rate = 60 * (self.done - self._before) / (now - self._begun)
        whole = "" if self.total is None else f" of {self.total}"
        print(
            f"{self.done}{whole} {self.unit}s, {rate:.1f} a minute{more()}",
            file=sys.stderr,
            flush=True,
        )
