"""Potentials that a run compares with its own."""

from __future__ import annotations

from typing import Any


def compared(config: dict[str, Any], kind: str) -> list[str]:
    """Return the potentials compared that have a `calculator`, `checkpoint` or `training`."""
    return [name for name, entry in config["compare"].items() if kind in entry]


def others(config: dict[str, Any]) -> list[str]:
    """Return the names of the other potentials: calculators, ones trained otherwise, files."""
    kinds = ("calculator", "training", "checkpoint")
    return [name for kind in kinds for name in compared(config, kind)]
