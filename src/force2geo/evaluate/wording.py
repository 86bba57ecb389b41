"""Numbers in sentences."""

from __future__ import annotations


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return `1 molecule`, `2 molecules`; the plural has an s if it is not given."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"
