"""DFT energies of D_opt before and after relaxation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

CAPTION = "DFT single points of D_opt: energy above the DFT-relaxed geometry."


def request(config: dict[str, Any]) -> dict[str, Any]:
    """Return what the figure is made of."""
    from force2geo.plan.relaxations import first_start, name_of

    name = name_of("d_opt", start=first_start(config))
    return {"files": {"molecules": f"judged/{name}.csv"}}


def draw(asked: dict[str, Any], folder: Path) -> Figure:
    """Return the figure."""
    from force2geo.evaluate.figures import residual_energies
    from force2geo.evaluate.geometry import read_molecules

    table = read_molecules(folder / asked["files"]["molecules"])
    return residual_energies(table["residual"].to_numpy(), table["to_gain"].to_numpy())
