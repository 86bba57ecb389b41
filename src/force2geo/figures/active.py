"""Test error by labels, chosen where a committee is least sure and at random."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

CAPTION = (
    "Test error of forces against labels to train on, by how the labels were chosen. Points are "
    "means over seeds, bars of one standard deviation; the first training sets are the same."
)


def request(config: dict[str, Any]) -> dict[str, Any]:
    """Return what the figure is made of."""
    from force2geo.plan.rounds import request

    return request(config)


def draw(asked: dict[str, Any], folder: Path) -> Figure:
    """Return the figure."""
    from force2geo.evaluate.rounds import label_curves, read_rounds

    return label_curves(read_rounds(asked, folder))
