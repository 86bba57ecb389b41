"""HOMO–LUMO gap of the whole of Molecule3D (Force2Geo, table 9)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from force2geo.evaluate.table import Table

TITLE = "HOMO–LUMO gap of the whole of Molecule3D"
ROWS = {
    "GIN-virtual": "gin_virtual",
    "Uni-Mol+": "unimol_rdkit",
    "SchNet": "schnet",
    "ComENet": "comenet",
    "DimeNet++": "dimenet_pp",
    "TorchMD-Net": "torchmd_net",
    "PaiNN": "painn",
    "Force2Prop w/ PaiNN": "force2prop",
}


def request(config: dict[str, Any]) -> dict[str, Any]:
    """Return the metrics and predictions of the property models, where the data is the table's."""
    from force2geo.plan.properties import by_row, data_of

    data = data_of(config)
    if data["from"] != "molecule3d" or data.get("sample"):
        return {
            "files": {},
            "data": data["from"],
            "reason": "needs property.data from molecule3d, without a sample",
        }
    return by_row(config, ROWS)


def build(asked: dict[str, Any], folder: Path) -> Table:
    """Return the table."""
    from force2geo.evaluate.gaps import gap_table

    return gap_table(
        "table9",
        TITLE,
        asked,
        folder,
        ROWS,
        reference="Force2Prop w/ PaiNN",
        of="the whole of Molecule3D",
    )
