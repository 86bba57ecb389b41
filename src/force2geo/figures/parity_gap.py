"""Predictions of property models against DFT, test set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

CAPTION = "HOMO–LUMO gap of test molecules, random split, by recipe."


def request(config: dict[str, Any]) -> dict[str, Any]:
    """Return what the figure is made of: the predictions of the recipes that can be trained."""
    from force2geo.plan.trainings import path, trainings

    names = {recipe: f"property.random.{recipe}" for recipe in config["property"]["recipes"]}
    there = trainings(config)
    return {
        "files": {
            recipe: path(config, name, "predictions.npz")
            for recipe, name in sorted(names.items())
            if name in there
        }
    }


def draw(asked: dict[str, Any], folder: Path) -> Figure:
    """Return the figure."""
    from force2geo.evaluate.figures import parity_property, read_predictions

    files = asked["files"].items()
    return parity_property({recipe: read_predictions(folder / path) for recipe, path in files})
