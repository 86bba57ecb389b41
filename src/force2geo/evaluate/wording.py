"""Numbers in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return `1 molecule`, `2 molecules`; the plural has an s if it is not given."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def listed(values: Sequence[object]) -> str:
    """Return `7`, `7 and 8`, `7, 8 and 9`."""
    *others, last = map(str, values)
    return f"{', '.join(others)} and {last}" if others else last
