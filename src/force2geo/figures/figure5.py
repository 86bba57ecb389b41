"""Force2Prop by how much its potential has learnt from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

CAPTION = (
    "Test error of Force2Prop against the snapshots that its potential has learnt from, 0 for "
    "training from scratch (Force2Geo, figure 5). Means over seeds of the property model, bars of "
    "one standard deviation; each potential was trained once, for as many epochs."
)


def request(config: dict[str, Any]) -> dict[str, Any]:
    """Return what the figure is made of."""
    from force2geo.plan.properties import by_share

    asked = by_share(config)
    potentials = {f"potential of {share}": path for share, path in asked["potentials"].items()}
    return {
        "files": asked["files"] | potentials,
        "splits": list(config["property"]["splits"]),
        "shares": list(asked["potentials"]),
    }


def draw(asked: dict[str, Any], folder: Path) -> Figure:
    """Return the figure."""
    from force2geo.evaluate.gaps import unit_of
    from force2geo.evaluate.property_figures import Curve, size_curves
    from force2geo.files import read_json
    from force2geo.plan.properties import FROM_POTENTIAL, label, runs_of

    sizes = {"0": 0} | {
        share: read_json(folder / asked["files"][f"potential of {share}"])["sizes"]["train"]
        for share in asked["shares"]
    }
    files = {k: v for k, v in asked["files"].items() if not k.startswith("potential of ")}
    runs = runs_of({"files": files}, folder)
    panels: dict[str, dict[str, Curve]] = {
        f"{split} split": {
            FROM_POTENTIAL: {
                size: [
                    read_json(path)["test"]["property_mae"]
                    for path in runs[label(split, share)].values()
                ]
                for share, size in sizes.items()
                if label(split, share) in runs
            }
        }
        for split in asked["splits"]
    }
    unit = unit_of(path for seeds in runs.values() for path in seeds.values())
    return size_curves(panels, "snapshots that the potential has learnt from", unit)
