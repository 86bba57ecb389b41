"""Pieces of text shared by the parsers; all offsets are bytes from the start of the log."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from force2geo.elements import atomic_number
from force2geo.logs import columns
from force2geo.logs.log import LogError

_ORIGIN = b" Written by force2geo from "
_NUMBER = rb"[ \t]*([-+]?\d*\.\d{%d}(?:[DEde][-+]?\d+)?|\*+)"


def row_pattern(label: bytes, decimals: int) -> re.Pattern[bytes]:
    """Return a pattern of one row: a label and three numbers, also where they run together."""
    return re.compile(label + (_NUMBER % decimals) * 3 + rb"[^\n]*\n")


def after(data: bytes, key: bytes, start: int, stop: int) -> str:
    """Return the word behind `key` and an optional equals sign, empty when there is none."""
    found = data.find(key, start, stop)
    if found < 0:
        return ""
    begin = found + len(key)
    line = data[begin : begin + 60].split(b"\n", 1)[0].replace(b"=", b" ", 1).split(None, 1)
    return line[0].rstrip(b",").decode("latin-1") if line else ""


def origin(data: bytes, stop: int) -> str:
    """Return which program's results were written in another's layout, empty for a real log."""
    found = data.find(_ORIGIN, 0, stop)
    return (
        data[found + len(_ORIGIN) : data.find(b"\n", found)].strip().decode("latin-1")
        if found >= 0
        else ""
    )


def whole(text: str, default: int) -> int:
    """Return an integer that may be printed as `1` or `1.0`; `default` when it is none."""
    try:
        return int(float(text))
    except (ValueError, OverflowError):
        return default


def number(text: bytes, offset: int) -> float:
    """Return a printed number; `LogError` for overflow stars and anything else."""
    try:
        value = float(text.translate(bytes.maketrans(b"Dd_", b"EE*")))
    except ValueError:
        raise LogError(f"not a number: '{text[:30].decode('latin-1')}'", offset) from None
    if not np.isfinite(value):
        raise LogError(f"not a number: '{text[:30].decode('latin-1')}'", offset)
    return value


def symbols_to_numbers(symbols: list[bytes], offset: int) -> np.ndarray:
    """Return atomic numbers (n,) of element symbols, of any case and numbered or not."""
    names = [re.sub(r"\d+$", "", symbol.decode("latin-1")).capitalize() for symbol in symbols]
    try:
        return np.array([atomic_number(name) for name in names], dtype=np.uint8)
    except KeyError as error:
        raise LogError(f"unknown element {error}", offset) from None


@dataclass
class Tables:
    """How one kind of table is printed: the pattern of a row, numbers in the label, its name."""

    row: re.Pattern[bytes]
    skip: int
    name: str

    def rows(self, data: bytes, start: int) -> list[tuple[bytes, ...]]:
        """Return label and numbers of the consecutive matching rows from `start` on."""
        found = []
        match = self.row.match(data, start)
        while match:
            label, *numbers = match.groups()
            found.append((b" ".join(label.split()), *numbers))
            match = self.row.match(data, match.end())
        return found

    def read(
        self, data: bytes, starts: list[int], labels: list[bytes], known: int = -1
    ) -> np.ndarray:
        """Return the numbers (T,n,3) of the tables at `starts`, each with these n labels.

        The labels may have come from the table at `known`.

        A table that ends with the data, cut in the middle, gives NaN; any other that is not
        complete raises `LogError`, as do numbers that overflowed.
        """
        if not starts:
            return np.empty((0, len(labels), 3))
        if starts[0] == known or [row[0] for row in self.rows(data, starts[0])] == labels:
            values = columns.decode(data, starts, len(labels), self.skip)
            if values is not None:
                return values
        return np.array([self._read_slowly(data, start, labels) for start in starts])

    def _read_slowly(self, data: bytes, start: int, labels: list[bytes]) -> np.ndarray:
        rows = self.rows(data, start)
        found = [row[0] for row in rows]
        if len(found) < len(labels) and found == labels[: len(found)]:
            end = start
            for _ in rows:
                end = data.index(b"\n", end) + 1
            if data.find(b"\n", end) < 0:
                return np.full((len(labels), 3), np.nan)
            raise LogError(f"{self.name} of {len(found)} of {len(labels)} atoms", end)
        if found != labels:
            raise LogError(f"the atoms change between steps ({self.name})", start)
        return np.array([[number(text, start) for text in row[-3:]] for row in rows])


def skip_lines(data: bytes, start: int, count: int) -> int:
    """Return where the line `count` lines below `start` begins, the end when there is none."""
    for _ in range(count):
        start = data.find(b"\n", start) + 1
        if start == 0:
            return len(data)
    return start


def assemble(
    positions: np.ndarray, energies: list[float], gradients: dict[int, np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return positions (T,n,3), energies (T,) and gradients (T,n,3) of the steps with either.

    `gradients` are by index of the step; a step with neither energy nor gradient, or whose
    positions are cut off, is the plan of a step and left out. `LogError` when none is left.
    """
    energy = np.array(energies, dtype=float)
    gradient = np.full(positions.shape, np.nan)
    for index, values in gradients.items():
        gradient[index] = values
    keep = np.isfinite(positions).all(axis=(1, 2))
    keep &= np.isfinite(energy) | np.isfinite(gradient).all(axis=(1, 2))
    if not keep.any():
        raise LogError("no step with a geometry and an energy or a gradient")
    if keep.all():
        return positions, energy, gradient
    return positions[keep], energy[keep], gradient[keep]
