"""HOMO–LUMO gap from DFT geometries (Force2Geo, table 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from force2geo.evaluate.table import Table

RECIPES = {"SchNet": "schnet", "PaiNN": "painn", "Force2Prop w/ PaiNN": "force2prop"}


def request(config: dict[str, Any]) -> dict[str, Any]:
    """Return the metrics of the property models, `split: row`."""
    from force2geo.plan.properties import by_row

    return by_row(config, RECIPES)


def build(asked: dict[str, Any], folder: Path) -> Table:
    """Return the table."""
    from force2geo.evaluate.gaps import gap_table, runs_of

    title = "HOMO–LUMO gap from DFT geometries"
    return gap_table("table6", title, RECIPES, runs_of(asked, folder))
