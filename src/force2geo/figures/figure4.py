"""Fine-tuning a pretrained network whole, its head alone, and a head on random features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

CAPTION = (
    "Validation error against the epoch: the pretrained network fine-tuned, its head alone "
    "trained, and a head trained on a random network's features (Force2Geo, figure 4). Means over "
    "seeds, bands from the best to the worst."
)
ROWS = {
    "fine-tuned": "force2prop",
    "head alone, pretrained features": "force2prop_frozen",
    "head alone, random features": "random_frozen",
}


def request(config: dict[str, Any]) -> dict[str, Any]:
    """Return what the figure is made of."""
    from force2geo.plan.properties import by_row

    split = config["property"]["splits"][0]
    return {"files": by_row(config, ROWS, [split])["files"], "split": split}


def draw(asked: dict[str, Any], folder: Path) -> Figure:
    """Return the figure."""
    from force2geo.evaluate.gaps import unit_of
    from force2geo.evaluate.property_figures import validation_curves
    from force2geo.files import read_json
    from force2geo.plan.properties import label, runs_of

    runs = runs_of(asked, folder)
    histories = {
        row: [read_json(path)["history"] for path in runs[label(asked["split"], row)].values()]
        for row in ROWS
        if label(asked["split"], row) in runs
    }
    return validation_curves(histories, unit_of(p for own in runs.values() for p in own.values()))
