"""Molecules of the store that hold an element (Force2Geo, appendix A.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

CAPTION = "Molecules of the store that hold an element."


def request(config: dict[str, Any]) -> dict[str, Any]:
    """Return what the figure is made of."""
    return {"files": {"statistics": "store/statistics.json"}}


def draw(asked: dict[str, Any], folder: Path) -> Figure:
    """Return the figure."""
    from force2geo.evaluate.data_figures import elements
    from force2geo.files import read_json

    return elements(read_json(folder / asked["files"]["statistics"]))
