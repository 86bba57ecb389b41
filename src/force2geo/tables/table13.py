"""Property models that see relaxed geometries alone (Force2Geo, table 13)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from force2geo.evaluate.table import Table

TITLE = "HOMO–LUMO gap, from scratch on relaxed and on true geometries"
ROWS = {
    "RDKit 3D": "scratch_rdkit",
    "Relaxed 3D": "scratch_force2geo",
    "Ground truth 3D": "painn",
}
SPLITS = ("random",)


def request(config: dict[str, Any]) -> dict[str, Any]:
    """Return the metrics and predictions of the property models, `split: row, seed`."""
    from force2geo.plan.properties import by_row

    return by_row(config, ROWS, SPLITS)


def build(asked: dict[str, Any], folder: Path) -> Table:
    """Return the table."""
    from force2geo.evaluate.gaps import gap_table

    return gap_table(
        "table13",
        TITLE,
        asked,
        folder,
        ROWS,
        SPLITS,
        reference="Relaxed 3D",
        first="Conformers",
        of="QM9",
    )
