"""BFGS relaxation of D_opt, step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

CAPTION = "BFGS relaxation of D_opt, one line a molecule."


def request(config: dict[str, Any]) -> dict[str, Any]:
    """Return what the figure is made of."""
    from force2geo.plan.relaxations import first_start, name_of

    name = name_of("d_opt", start=first_start(config))
    return {"files": {"relaxed": f"relax/{name}.h5"}}


def draw(asked: dict[str, Any], folder: Path) -> Figure:
    """Return the figure."""
    from force2geo.evaluate.figures import relaxation_curves
    from force2geo.evaluate.geometry import FORCE_THRESHOLD
    from force2geo.relax.result import read_relaxed

    return relaxation_curves(read_relaxed(folder / asked["files"]["relaxed"]), FORCE_THRESHOLD)
