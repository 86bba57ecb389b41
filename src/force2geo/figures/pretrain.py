"""Pretraining: validation error against the epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

CAPTION = "Pretraining: validation error on DFT steps of held-out molecules."


def request(config: dict[str, Any]) -> dict[str, Any]:
    """Return what the figure is made of."""
    from force2geo.plan.trainings import path

    return {"files": {"pretrain": path(config, "pretrain", "metrics.json")}}


def draw(asked: dict[str, Any], folder: Path) -> Figure:
    """Return the figure."""
    from force2geo.evaluate.figures import training_curves
    from force2geo.files import read_json

    history = read_json(folder / asked["files"]["pretrain"])["history"]
    return training_curves({"pretrain": history})
