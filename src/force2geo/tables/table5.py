"""HOMO–LUMO gap of ∇²DFT (Force2Geo, table 5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from force2geo.evaluate.table import Table

TITLE = "HOMO–LUMO gap of ∇²DFT"
ROWS = {
    "SchNet": "schnet",
    "SphereNet": "spherenet",
    "ComENet": "comenet",
    "DimeNet++": "dimenet_pp",
    "TorchMD-Net": "torchmd_net",
    "PaiNN": "painn",
    "Force2Prop w/ PaiNN": "force2prop",
}
SPLITS = ("random",)


def request(config: dict[str, Any]) -> dict[str, Any]:
    """Return the metrics and predictions of the property models, where the data is the table's."""
    from force2geo.plan.properties import by_row, data_of

    data = data_of(config)
    if data["from"] != "nabladft":
        return {"files": {}, "data": data["from"], "reason": "needs property.data from nabladft"}
    return by_row(config, ROWS, SPLITS)


def build(asked: dict[str, Any], folder: Path) -> Table:
    """Return the table."""
    from force2geo.evaluate.gaps import gap_table

    return gap_table(
        "table5",
        TITLE,
        asked,
        folder,
        ROWS,
        SPLITS,
        reference="Force2Prop w/ PaiNN",
        of="∇²DFT",
    )
