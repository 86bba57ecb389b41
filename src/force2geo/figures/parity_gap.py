"""Predictions of property models against DFT, test set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

CAPTION = "HOMO–LUMO gap of test molecules, random split, by recipe."


def request(config: dict[str, Any]) -> dict[str, Any]:
    """Return what the figure is made of."""
    from force2geo.plan.trainings import path

    section = config["property"]
    recipes = sorted(section["recipes"]) if "random" in section["splits"] else []
    return {
        "files": {
            recipe: path(config, f"property.random.{recipe}", "predictions.npz")
            for recipe in recipes
        }
    }


def draw(asked: dict[str, Any], folder: Path) -> Figure:
    """Return the figure."""
    from force2geo.evaluate.figures import parity_property, read_predictions

    files = asked["files"].items()
    return parity_property({recipe: read_predictions(folder / path) for recipe, path in files})
