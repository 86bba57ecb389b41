"""HOMO–LUMO gap from geometries without DFT (Force2Geo, table 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from force2geo.evaluate.table import Table

RECIPES = {
    "RDKit 3D + PaiNN": "geometry_rdkit",
    "PM3 & HF 3D + PaiNN": "geometry_hf",
    "Force2Geo + PaiNN": "geometry_force2geo",
    "DFT 3D + PaiNN (ground truth)": "painn",
}


def request(config: dict[str, Any]) -> dict[str, Any]:
    """Return the metrics of the property models, `split: row`."""
    from force2geo.plan.properties import by_row

    return by_row(config, RECIPES)


def build(asked: dict[str, Any], folder: Path) -> Table:
    """Return the table."""
    from force2geo.evaluate.gaps import gap_table, runs_of

    title = "HOMO–LUMO gap from geometries without DFT"
    return gap_table("table4", title, RECIPES, runs_of(asked, folder))
