"""Backbones on the subset S: validation error against the epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

CAPTION = "Backbones on the subset S: validation error against the epoch."


def request(config: dict[str, Any]) -> dict[str, Any]:
    """Return what the figure is made of."""
    from force2geo.plan.trainings import lacking, path

    return {
        "files": {
            name: path(config, f"benchmark.{name}", "metrics.json")
            for name in config["benchmark"]["backbones"]
            if not lacking(config, name)
        }
    }


def draw(asked: dict[str, Any], folder: Path) -> Figure:
    """Return the figure."""
    from force2geo.evaluate.figures import training_curves
    from force2geo.files import read_json

    files = asked["files"].items()
    return training_curves({name: read_json(folder / path)["history"] for name, path in files})
