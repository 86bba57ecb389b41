"""Pieces of text shared by the parsers; all offsets are bytes from the start of the log."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from force2geo.elements import MAX_ATOMIC_NUMBER, SYMBOLS, atomic_number
from force2geo.logs import columns
from force2geo.logs.log import LogError

_ORIGIN = b" Written by force2geo from "
_WORD = re.compile(rb"[ \t]*=?[ \t]*([^\s=,]+)([ \t]*=)?")
_DECIMAL = re.compile(rb"[-+]?\d*\.(\d+)")
_EXPONENTS = bytes.maketrans(b"Dd_", b"EE*")
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
    match = _WORD.match(data[begin : begin + 60].split(b"\n", 1)[0])
    # A word with an equals sign behind it is the next key: this one has no value.
    return "" if match is None or match.group(2) else match.group(1).decode("latin-1")


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
        value = float(text.translate(_EXPONENTS))
    except ValueError:
        raise LogError(f"not a number: '{text[:30].decode('latin-1')}'", offset) from None
    if not math.isfinite(value):
        raise LogError(f"not a number: '{text[:30].decode('latin-1')}'", offset)
    return value


def printed(words: list[bytes], decimals: int) -> list[float]:
    """Return numbers of so many decimals; none at all when one is no number or is cut off."""
    matches = [_DECIMAL.fullmatch(word) for word in words]
    if any(match is None or len(match.group(1)) != decimals for match in matches):
        return []
    return [number(word, 0) for word in words]


def symbols_to_numbers(symbols: list[bytes], offset: int) -> np.ndarray:
    """Return atomic numbers (n,) of element symbols, of any case and numbered or not."""
    names = [re.sub(r"\d+$", "", symbol.decode("latin-1")).capitalize() for symbol in symbols]
    try:
        numbers = np.array([atomic_number(name) for name in names], dtype=np.uint8)
    except KeyError as error:
        raise LogError(f"unknown element {error}", offset) from None
    if not numbers.all():
        raise LogError("a dummy atom, which no potential knows", offset)
    return numbers


def charges_to_numbers(labels: list[bytes], offset: int) -> np.ndarray:
    """Return atomic numbers (n,) of labels that are a name and a nuclear charge.

    A name that is an element's symbol, numbered or not, must be that of the charge; any other
    must begin with it (`CARBON`).
    """
    known = {}
    for label in set(labels):
        known[label], wrong = _number_of(label)
        if wrong:
            raise LogError(wrong, offset)
    return np.array([known[label] for label in labels], dtype=np.uint8)


@lru_cache(maxsize=1024)
def _number_of(label: bytes) -> tuple[int, str]:
    """Return the atomic number of a name and a nuclear charge, and what is wrong with them."""
    name, charge = label.decode("latin-1").split()
    number = whole(charge, 0)
    letters = re.match(r"[A-Za-z]+", name)
    word = letters.group().upper() if letters else ""
    if not 1 <= number <= MAX_ATOMIC_NUMBER:
        known = f"elements 1 to {MAX_ATOMIC_NUMBER} are read"
        return 0, f"nuclear charge {charge} of '{name}': {known}"
    symbol = SYMBOLS[number].upper()
    agrees = word == symbol or (number == 1 and word in ("D", "T"))
    if not agrees:
        try:
            atomic_number(word)
        except KeyError:
            agrees = word.startswith(symbol)
    return number, "" if agrees else f"'{name}' has the nuclear charge {charge}"


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
        self, data: bytes, starts: list[int], labels: list[bytes], known: int = -1, cut: int = -1
    ) -> np.ndarray:
        """Return the numbers (T,n,3) of the tables at `starts`, each with these n labels.

        The labels may have come from the table at `known`. The table at `cut` is the last of a
        run that did not come to its end: where it is not complete it gives NaN. Any other such
        raises `LogError`, as do numbers that overflowed.
        """
        if not starts:
            return np.empty((0, len(labels), 3))
        if starts[0] == known or [row[0] for row in self.rows(data, starts[0])] == labels:
            values = columns.decode(data, starts, len(labels), self.skip)
            if values is not None:
                return values
            if starts[-1] == cut and len(starts) > 1:  # all but the last may be regular
                values = columns.decode(data, starts[:-1], len(labels), self.skip)
                if values is not None:
                    last = self._read_slowly(data, cut, labels, cut)
                    return np.concatenate([values, last[None]])
        return np.array([self._read_slowly(data, start, labels, cut) for start in starts])

    def _read_slowly(self, data: bytes, start: int, labels: list[bytes], cut: int) -> np.ndarray:
        rows = self.rows(data, start)
        # Behind a cut may stand another program's text, whose stars are no overflow.
        if start == cut and rows and b"*" in rows[-1][-1]:
            rows.pop()
        found = [row[0] for row in rows]
        if len(found) < len(labels) and found == labels[: len(found)]:
            if start == cut:
                return np.full((len(labels), 3), np.nan)
            end = skip_lines(data, start, len(rows))
            raise LogError(f"{self.name} of {len(found)} of {len(labels)} atoms", end)
        if found != labels:
            raise LogError(f"the atoms change between steps ({self.name})", start)
        return np.array([[number(text, start) for text in row[-3:]] for row in rows])


def last_cut(finished: bool, *tables: list[int]) -> int:
    """Return where the last table of a run begins that did not come to its end, else -1."""
    return -1 if finished else max((starts[-1] for starts in tables if starts), default=-1)


def cut_notes(positions: np.ndarray, gradients: np.ndarray) -> list[str]:
    """Return what to say of the last geometry (T,n,3) or gradient (S,n,3) when it is cut off."""
    tables = (("geometry", positions), ("gradient", gradients))
    return [
        f"the run stops inside its last {name}"
        for name, values in tables
        if len(values) and np.isnan(values[-1]).any()
    ]


def skip_lines(data: bytes, start: int, count: int) -> int:
    """Return where the line `count` lines below `start` begins, the end when there is none."""
    for _ in range(count):
        start = data.find(b"\n", start) + 1
        if start == 0:
            return len(data)
    return start


@dataclass
class Steps:
    """The T steps of a run that have results; `last` is where the last stood among all."""

    positions: np.ndarray
    energies: np.ndarray
    gradients: np.ndarray
    last: int


def assemble(
    positions: np.ndarray, energies: list[float], gradients: dict[int, np.ndarray]
) -> Steps:
    """Return the steps with an energy or a gradient, of positions (T,n,3) and energies (T,).

    `gradients` (n,3) are by index of the step; a step with neither energy nor gradient, or whose
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
    last = int(np.flatnonzero(keep)[-1])
    if keep.all():
        return Steps(positions, energy, gradient, last)
    return Steps(positions[keep], energy[keep], gradient[keep], last)
