"""Tables of numbers in fixed columns, decoded for all steps of a log at once.

Fortran prints a number with d decimals right-justified in a field of fixed width, so the decimal
points of every row stand in the same columns, also where numbers run together. One row tells the
layout, the bytes of all rows are then digits of integers, and an integer of at most 15 digits
over 10**d, both exact in float64, is the float nearest to the printed decimal.
"""

from __future__ import annotations

import re

import numpy as np

_NUMBER = re.compile(rb"\.(\d+)")
_ZERO, _MINUS = ord("0"), ord("-")
_MAX_FIELD = 20
_EXACT = 2.0**53


class Layout:
    """Where a row's label ends and its three numbers stand, read off its first row.

    The label is all before the first of the three numbers; `skip` numbers with a decimal point
    belong to it (GAMESS prints the nuclear charge).
    """

    def __init__(self, row: bytes, skip: int) -> None:
        points = list(_NUMBER.finditer(row))
        self.width = len(row)
        self.valid = len(points) >= skip + 3
        if not self.valid:
            return
        ends = [match.end() for match in points[: skip + 3]]
        self.decimals = len(points[skip].group(1))
        # All three fields have the width that the second and the third show.
        self.field = ends[skip + 1] - ends[skip]
        self.end = ends[skip + 2]
        self.start = self.end - 3 * self.field
        self.valid = (
            ends[skip + 2] - ends[skip + 1] == self.field
            and {len(match.group(1)) for match in points[skip : skip + 3]} == {self.decimals}
            and self.decimals + 1 < self.field <= _MAX_FIELD
            and self.start >= (ends[skip - 1] if skip else 1)
            and row.endswith(b"\n")
        )


def _values(field: np.ndarray, decimals: int) -> np.ndarray | None:
    """Return the numbers (R,) of right-justified fields (R,w), None when one is none."""
    point = field.shape[1] - decimals - 1
    digits = np.maximum(field, _ZERO) - _ZERO  # nought for space, sign and point
    # In ASCII a space is less than a sign and a sign less than a digit, the order they come in.
    kind = np.minimum(field[:, :point], _ZERO)
    minus = kind == _MINUS
    if (
        (digits > 9).any()
        or (field[:, point] != ord(".")).any()
        or (field[:, point + 1 :] < _ZERO).any()
        or ((kind != ord(" ")) & ~minus & (kind != _ZERO)).any()
        or (kind[:, 1:] < kind[:, :-1]).any()
        or (minus[:, 1:] & minus[:, :-1]).any()
    ):
        return None
    powers = 10.0 ** np.arange(point + decimals, -1, -1)
    powers[: point + 1] /= 10.0
    # Sums of integers below 2**53: exact in any order.
    value = digits.astype(np.float64) @ powers
    if value.max() >= _EXACT:
        return None
    value /= 10.0**decimals
    negative = minus[:, 0].copy()
    for column in range(1, point):
        negative |= minus[:, column]
    np.negative(value, where=negative, out=value)
    return value


def decode(data: bytes, starts: list[int], rows: int, skip: int) -> np.ndarray | None:
    """Return the numbers (T,rows,3) of the tables that begin at `starts`, None when irregular.

    Every table must have the labels of the first. None means that a slower reader has to look;
    nothing is guessed.
    """
    stop = data.find(b"\n", starts[0]) + 1
    layout = Layout(data[starts[0] : stop], skip)
    size = rows * layout.width
    if not layout.valid or starts[-1] + size > len(data):
        return None
    text = b"".join([data[start : start + size] for start in starts])
    table = np.frombuffer(text, dtype=np.uint8)
    table = table.reshape(len(starts), rows, layout.width)
    label = table[0, :, : layout.start]
    if (table[:, :, : layout.start] != label).any() or (table[:, :, -1] != ord("\n")).any():
        return None
    fields = table[:, :, layout.start : layout.end]
    values = _values(fields.reshape(-1, layout.field), layout.decimals)
    return None if values is None else values.reshape(len(starts), rows, 3)
