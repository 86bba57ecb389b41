"""The relaxations of D_opt that a run compares: by its own potential, and by others."""

from __future__ import annotations

from typing import Any

OWN = "Force2Geo"
"""Name of the run's own potential in table 3."""


def compared(config: dict[str, Any], kind: str) -> list[str]:
    """Return the potentials compared that have a `calculator`, `checkpoint` or `training`."""
    return [name for name, entry in config["compare"].items() if kind in entry]


def others(config: dict[str, Any]) -> list[str]:
    """Return the names of the other potentials: calculators, ones trained otherwise, files."""
    kinds = ("calculator", "training", "checkpoint")
    return [name for kind in kinds for name in compared(config, kind)]


def judged(config: dict[str, Any]) -> dict[str, str]:
    """Return the tables of D_opt's molecules, one by potential, within the run's folder."""
    tables = {name: f"judged/d_opt.{name}.csv" for name in others(config)}
    own = {OWN: "judged/d_opt.csv"} if "pretrain" in config else {}
    return own | tables
