"""Noise (Å) in geometry fine-tuning, varied (Force2Geo, table 11)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from force2geo.evaluate.table import Table

TITLE = "Noise (Å) in geometry fine-tuning"


def request(config: dict[str, Any]) -> dict[str, Any]:
    """Return the metrics and predictions of the property models, by the value."""
    from force2geo.plan.properties import by_value

    return by_value(config, "noise")


def build(asked: dict[str, Any], folder: Path) -> Table:
    """Return the table."""
    from force2geo.evaluate.gaps import sweep_table

    return sweep_table("table11", TITLE, asked, folder)
