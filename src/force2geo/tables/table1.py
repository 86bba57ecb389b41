"""What 3D geometries are worth to the HOMO–LUMO gap (Force2Geo, table 1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from force2geo.evaluate.table import Table

TITLE = "HOMO–LUMO gap from 2D and 3D"
ROWS = {
    "GIN": "gin_virtual",
    "Uni-Mol+": "unimol_rdkit",
    "Force2Geo + PaiNN": "geometry_force2geo",
    "DFT + PaiNN": "painn",
}
SPLITS = ("random",)


def request(config: dict[str, Any]) -> dict[str, Any]:
    """Return the metrics and predictions of the property models, `split: row, seed`."""
    from force2geo.plan.properties import by_row

    return by_row(config, ROWS, SPLITS)


def build(asked: dict[str, Any], folder: Path) -> Table:
    """Return the table."""
    from force2geo.evaluate.gaps import gap_table

    return gap_table("table1", TITLE, asked, folder, ROWS, SPLITS, reference="Force2Geo + PaiNN")
