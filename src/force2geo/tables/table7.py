"""SchNet pretrained and not (Force2Geo, table 7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from force2geo.evaluate.table import Table

TITLE = "HOMO–LUMO gap with SchNet, from scratch and pretrained"
ROWS = {
    "SchNet": "schnet",
    "Force2Prop w/ SchNet": "force2prop_schnet",
}
SPLITS = ("random",)


def request(config: dict[str, Any]) -> dict[str, Any]:
    """Return the metrics and predictions of the property models, `split: row, seed`."""
    from force2geo.plan.properties import by_row

    return by_row(config, ROWS, SPLITS)


def build(asked: dict[str, Any], folder: Path) -> Table:
    """Return the table."""
    from force2geo.evaluate.gaps import gap_table

    return gap_table("table7", TITLE, asked, folder, ROWS, SPLITS, reference="SchNet")
