"""Training from scratch and Force2Prop by molecules to train on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

CAPTION = (
    "Test error against molecules to train on, from scratch and from the pretrained potential "
    "(Force2Geo, figure 6). Means over seeds, bars of one standard deviation; smaller sets are "
    "parts of the larger ones."
)


def request(config: dict[str, Any]) -> dict[str, Any]:
    """Return what the figure is made of."""
    from force2geo.plan.properties import by_size

    return by_size(config) | {"splits": list(config["property"]["splits"])}


def draw(asked: dict[str, Any], folder: Path) -> Figure:
    """Return the figure."""
    from force2geo.evaluate.gaps import unit_of
    from force2geo.evaluate.property_figures import Curve, size_curves
    from force2geo.files import read_json
    from force2geo.plan.properties import BETWEEN, FROM_POTENTIAL, FROM_SCRATCH, runs_of

    panels: dict[str, dict[str, Curve]] = {
        split: {FROM_SCRATCH: {}, FROM_POTENTIAL: {}} for split in asked["splits"]
    }
    runs = runs_of(asked, folder)
    for told, seeds in runs.items():
        split, _, rest = told.partition(BETWEEN)
        found = [read_json(path) for path in seeds.values()]
        errors = [metrics["test"]["property_mae"] for metrics in found]
        panels[split][rest.rpartition(", ")[0]][found[0]["sizes"]["train"]] = errors
    shown = {f"{split} split": rows for split, rows in panels.items()}
    unit = unit_of(path for seeds in runs.values() for path in seeds.values())
    return size_curves(shown, "molecules to train on", unit)
