"""Work that training need not wait for: done in order by a thread, and again where it fails."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_FIRST_PAUSE, _LONGEST_PAUSE = 5.0, 300.0  # seconds between attempts, doubled at each failure


class Background:
    """Does what it is given, one thing after the other; a thing that raises is tried again.

    `on_failure` is told every error. The thread ends with the program.
    """

    def __init__(self, on_failure: Callable[[Exception], None]) -> None:
        self._on_failure = on_failure
        self._tasks: deque[tuple[Callable[[], None], bool]] = deque()
        self._changed = threading.Condition()
        self._attempts = 0
        self._failures = 0  # since the last success
        self._slow = False
        self._hurry = False
        self._thread: threading.Thread | None = None

    @property
    def answering(self) -> bool:
        """Whether the last thing was done, and in time."""
        return not (self._failures or self._slow)

    def add(self, task: Callable[[], None], again: bool = True) -> None:
        """Have `task` done after those given before; with `again` until it succeeds."""
        with self._changed:
            self._tasks.append((task, again))
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def wait(self, seconds: float) -> bool:
        """Have it tried now; return, after a failure or `seconds` at most, whether all is done."""
        with self._changed:
            before = self._attempts
            self._hurry = True
            self._changed.notify_all()
            self._slow |= not self._changed.wait_for(
                lambda: not self._tasks or (self._failures and self._attempts > before), seconds
            )
            return not self._tasks

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._tasks)
                task, again = self._tasks[0]
                self._hurry = False
            try:
                task()
            except Exception as error:
                self._on_failure(error)
                done, failures = not again, self._failures + 1
            else:
                done, failures = True, 0
            with self._changed:
                self._attempts += 1
                self._failures, self._slow = failures, self._slow and failures > 0
                if done:
                    self._tasks.popleft()
                self._changed.notify_all()
                if not done:
                    pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** (failures - 1))
                    self._changed.wait_for(lambda: self._hurry, pause)
