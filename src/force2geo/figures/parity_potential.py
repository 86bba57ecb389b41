"""Predictions of the potential against DFT, test set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

CAPTION = "The potential on DFT steps of test molecules it never saw."


def request(config: dict[str, Any]) -> dict[str, Any]:
    """Return what the figure is made of."""
    from force2geo.plan.trainings import path

    return {"files": {"predictions": path(config, "pretrain", "predictions.npz")}}


def draw(asked: dict[str, Any], folder: Path) -> Figure:
    """Return the figure."""
    from force2geo.evaluate.figures import parity_potential, read_predictions

    return parity_potential(read_predictions(folder / asked["files"]["predictions"]))
