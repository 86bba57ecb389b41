"""Curves of property models: by epoch, by molecules to train on, by the potential's data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from force2geo.evaluate.figures import BLUE, GREY, ORANGE, new_figure
from force2geo.evaluate.summaries import mean_and_deviation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure

_COLORS = (BLUE, ORANGE, GREY, "#2f855a", "#805ad5")
Curve = dict[float, "Sequence[float]"]
"""Errors of each seed by what they are drawn against."""


def validation_curves(runs: dict[str, list[list[dict[str, float]]]], unit: str) -> Figure:
    """Return the validation MAE against the epoch, by row: mean over seeds, best to worst."""
    figure, axis = new_figure()
    for color, (row, seeds) in zip(_COLORS, runs.items(), strict=False):
        epochs = min(len(history) for history in seeds)
        values = np.array([[e["val_property_mae"] for e in one[:epochs]] for one in seeds])
        at = np.arange(1, epochs + 1)
        axis.plot(at, values.mean(axis=0), label=row, color=color)
        if len(seeds) > 1:
            low, high = values.min(axis=0), values.max(axis=0)
            axis.fill_between(at, low, high, color=color, alpha=0.2, linewidth=0)
    axis.set(xlabel="epoch", ylabel=f"validation MAE ({unit})", yscale="log")
    _plain(axis.yaxis)
    if runs:
        figure.legend(loc="outside upper left", frameon=False)  # curves fill all the room
    return figure


def size_curves(panels: dict[str, dict[str, Curve]], against: str, unit: str) -> Figure:
    """Return the test MAE `against` a size, a panel a split, a line a row.

    Points are means over seeds, bars their standard deviations.
    """
    figure, axes = new_figure(max(1, len(panels)))
    for axis, (title, rows) in zip(np.atleast_1d(axes), panels.items(), strict=False):
        ticks: set[float] = set()
        drawn = {row: curve for row, curve in rows.items() if curve}
        for color, (row, curve) in zip(_COLORS, drawn.items(), strict=False):
            sizes = sorted(curve)
            means, bars = zip(*(mean_and_deviation(list(curve[s])) for s in sizes), strict=True)
            axis.errorbar(
                sizes, means, np.nan_to_num(bars), label=row, color=color, marker="o",
                markersize=4, capsize=2, linestyle="-" if len(sizes) > 1 else "",
            )  # fmt: skip
            ticks |= set(sizes)
        axis.set(xlabel=against, ylabel=f"test MAE ({unit})", title=title, yscale="log")
        if min(ticks, default=0) > 0:
            axis.set_xscale("log")
            axis.set_xticks(sorted(ticks))
        _plain(axis.xaxis)
        _plain(axis.yaxis)
        if drawn:
            axis.legend(frameon=False)
    return figure


def _plain(line: Any) -> None:
    """Write plain numbers at the ticks of a logarithmic axis."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    few = line.get_scale() == "log" and line.axis_name == "y"
    form = FuncFormatter(lambda value, _: f"{value:,.10g}")
    line.set_major_formatter(form)
    line.set_minor_formatter(form if few else NullFormatter())
