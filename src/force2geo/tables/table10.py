"""Ways to pretrain (Force2Geo, table 10)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from force2geo.evaluate.table import Table

TITLE = "HOMO–LUMO gap, by what PaiNN was pretrained for"
ROWS = {
    "DeNS w/ PaiNN": "force2prop_dens",
    "Denoising w/ PaiNN": "force2prop_denoising",
    "Force2Prop w/ PaiNN": "force2prop",
}
SPLITS = ("random",)


def request(config: dict[str, Any]) -> dict[str, Any]:
    """Return the metrics and predictions of the property models, `split: row, seed`."""
    from force2geo.plan.properties import by_row

    return by_row(config, ROWS, SPLITS)


def build(asked: dict[str, Any], folder: Path) -> Table:
    """Return the table."""
    from force2geo.evaluate.gaps import gap_table

    return gap_table("table10", TITLE, asked, folder, ROWS, SPLITS, reference="Force2Prop w/ PaiNN")
