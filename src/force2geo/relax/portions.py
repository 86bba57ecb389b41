"""A long file of molecules in portions, so that memory stays flat and a kill loses no portion.

What is made of a portion is a file of its own, whole or absent, in a folder beside the output; the
output is all of them, one after the other, when the last is there. The same call goes on with the
first that is not.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
from itertools import islice
from typing import TYPE_CHECKING, Any

from force2geo.files import atomic_path, hash_value, read_json, write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from force2geo.relax.structures import Lost, Structure

    Reader = Callable[[int], Iterable[Structure | Lost]]

SIZE = 1000
"""Molecules of a portion."""


class Portions:
    """The portions of a run that writes `output`, of `size` molecules each.

    `depends` is all that a result depends on. A run's portions are in a folder of its own: another
    call with the same output leaves them alone.
    """

    def __init__(self, output: Path, depends: Any, size: int) -> None:
        self.output, self.size = output, size
        name = f"{hash_value(depends)}.portions"
        self.folder = output.with_name(f".{output.name}.unfinished") / name
        self.done = 0
        while self._told(self.done).exists():
            self.done += 1

    def path(self, number: int) -> Path:
        """Return where what is made of a portion is to be written."""
        return self.folder / f"{number:06d}{self.output.suffix}"

    def _told(self, number: int) -> Path:
        return self.folder / f"{number:06d}.json"

    def left(self, read: Reader) -> Iterator[tuple[int, list[Structure | Lost]]]:
        """Give number and molecules of each portion to do; `read(n)` gives all after the first n.

        A portion that has been given is to be `finished` before the next.
        """
        number = self.done
        if number:
            told = f"going on: {number * self.size} molecules at most were done"
            print(told, file=sys.stderr)
        for other in sorted(self.folder.parent.glob("*")):
            if other != self.folder:
                print(f"{other}: unfinished work of another call with this output", file=sys.stderr)
        molecules = iter(read(number * self.size))
        while portion := list(islice(molecules, self.size)):
            yield number, portion
            number += 1

    def finished(self, number: int, told: dict[str, Any]) -> None:
        """Take down that a portion's file is there, and what is told of it."""
        write_json(self._told(number), told)
        self.done = number + 1

    def told(self) -> list[dict[str, Any]]:
        """Return what was told of all portions."""
        return [read_json(self._told(number)) for number in range(self.done)]

    def join(self, headers: bool = False) -> None:
        """Write the output; of portions that have `headers`, a line each, the first's is kept."""
        with atomic_path(self.output) as partial, partial.open("wb") as whole:
            for number in range(self.done):
                path = self.path(number)
                if path.exists():  # nothing is, where no molecule of a portion was one
                    with path.open("rb") as part:
                        if headers and number:
                            part.readline()
                        shutil.copyfileobj(part, whole)

    def close(self) -> None:
        """Remove the folder, and what held it where no other run's is there."""
        shutil.rmtree(self.folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            self.folder.parent.rmdir()
