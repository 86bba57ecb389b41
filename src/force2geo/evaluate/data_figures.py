"""Figures of what a store holds (Force2Geo, appendix A.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from force2geo.evaluate.figures import BLUE, new_figure
from force2geo.trajectory import PATH_STAGES, POINT_SETS

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def snapshots(statistics: dict[str, Any]) -> Figure:
    """Return the number of snapshots of each stage."""
    figure, axis = new_figure()
    stages = [*PATH_STAGES, *POINT_SETS]
    bars = axis.bar(stages, [statistics[stage]["snapshots"] for stage in stages], color=BLUE)
    axis.bar_label(bars, fmt="{:,.0f}", fontsize=8)
    axis.set(ylabel="snapshots")
    return figure


def steps(statistics: dict[str, Any]) -> Figure:
    """Return histograms of the steps a relaxation took, stage by stage."""
    stages = [stage for stage in PATH_STAGES if statistics[stage]["trajectories"]]
    figure, axes = new_figure(max(len(stages), 1))
    for axis, stage in zip(np.atleast_1d(axes), stages, strict=False):
        counts = statistics[stage]["trajectories_by_steps"]
        axis.bar([int(number) for number in counts], list(counts.values()), width=1, color=BLUE)
        mean = statistics[stage]["mean_snapshots"]
        axis.set(title=f"{stage}, mean {mean:.1f}", xlabel="steps", ylabel="molecules")
    return figure


def atoms(statistics: dict[str, Any]) -> Figure:
    """Return the number of molecules of each size."""
    counts = statistics["molecules_by_atoms"]
    figure, axis = new_figure()
    axis.bar([int(number) for number in counts], list(counts.values()), width=1, color=BLUE)
    axis.set(xlabel="atoms in the molecule", ylabel="molecules")
    return figure


def elements(statistics: dict[str, Any]) -> Figure:
    """Return the number of molecules that hold each element."""
    counts = statistics["molecules_by_element"]
    figure, axis = new_figure()
    axis.bar(list(counts), list(counts.values()), color=BLUE)
    axis.set(ylabel="molecules with the element", yscale="log")
    return figure
