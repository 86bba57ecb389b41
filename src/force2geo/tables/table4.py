"""HOMO–LUMO gap from geometries without DFT (Force2Geo, table 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from force2geo.evaluate.table import Table

TITLE = "HOMO–LUMO gap from geometries without DFT"
ROWS = {
    "RDKit 3D + Uni-Mol+": "unimol_rdkit",
    "PM3 & HF 3D + Uni-Mol+": "unimol_hf",
    "RDKit 3D + PaiNN": "geometry_rdkit",
    "PM3 & HF 3D + PaiNN": "geometry_hf",
    "Force2Geo + PaiNN": "geometry_force2geo",
    "DFT 3D + PaiNN (ground truth)": "painn",
}


def request(config: dict[str, Any]) -> dict[str, Any]:
    """Return the metrics and predictions of the property models, `split: row, seed`."""
    from force2geo.plan.properties import by_row

    return by_row(config, ROWS)


def build(asked: dict[str, Any], folder: Path) -> Table:
    """Return the table."""
    from force2geo.evaluate.gaps import gap_table

    return gap_table("table4", TITLE, asked, folder, ROWS, reference="Force2Geo + PaiNN")
