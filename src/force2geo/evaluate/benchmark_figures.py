"""Plots of the benchmark: what accuracy costs, and how it comes about."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from force2geo.evaluate.figures import GREY, new_figure, plain_ticks
from force2geo.evaluate.summaries import mean_and_deviation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COSTS = {
    "trained_per_second": "training (snapshots/s)",
    "predicted_per_second": "inference (snapshots/s)",
    "parameters": "parameters",
    "peak_memory_mb": "peak memory of training (MB)",
}
# Over the vectors of atoms (eq. 6) an error is √3 times that over components, which old runs have.
_OF_VECTORS = math.sqrt(3)
# Where a label may stand beside its point, in points: the first place that is free is taken.
_PLACES = [
    *((7 * x, 5 * y) for x, y in ((1, 1), (-1, 1), (1, -1), (-1, -1))),
    *((0, 9), (0, -9), (10, 0), (-10, 0)),
    *((14 * x, 16 * y) for x, y in ((1, 1), (-1, 1), (1, -1), (-1, -1))),
]


class _Point(NamedTuple):
    """A backbone among others: means over its seeds, and their deviations, 0 of one seed."""

    name: str
    color: str
    x: float
    y: float
    dx: float
    dy: float


def costs_and_errors(runs: dict[str, list[dict[str, Any]]]) -> Figure:
    """Return the validation force RMSE of atoms against each cost, a labelled point a backbone.

    `runs` are the metrics of each backbone's seeds; bars are standard deviations over them. A cost
    that a run did not measure has no point.
    """
    figure, axes = new_figure(2, 2)
    drawn: list[list[_Point]] = []
    for place, (axis, (cost, label)) in enumerate(zip(axes.flat, COSTS.items(), strict=True)):
        points = [
            _point(f"C{index % 10}", name, cost, seeds)
            for index, (name, seeds) in enumerate(runs.items())
            if all(cost in metrics for metrics in seeds)
        ]
        drawn.append([point for point in points if np.isfinite([point.x, point.y]).all()])
        for _, color, x, y, dx, dy in drawn[-1]:
            bars = {"xerr": dx, "yerr": dy} if max(dx, dy) > 0 else {}
            axis.errorbar(x, y, **bars, fmt="o", markersize=5, capsize=2, elinewidth=1, color=color)
        axis.set(xlabel=label, ylabel="" if place % 2 else "force RMSE (meV/Å)")
        axis.margins(0.14)
        if drawn[-1]:
            _logarithmic(axis)
    # Where labels overlap is known once the axes have their places.
    figure.draw_without_rendering()
    for axis, points in zip(axes.flat, drawn, strict=True):
        _label(axis, points)
    return figure


def _point(color: str, name: str, cost: str, seeds: list[dict[str, Any]]) -> _Point:
    x, dx = mean_and_deviation([metrics[cost] for metrics in seeds])
    y, dy = mean_and_deviation([_OF_VECTORS * metrics["val"]["force_rmse"] for metrics in seeds])
    return _Point(name, color, x, y, *np.nan_to_num([dx, dy]))


def learning_curves(runs: dict[str, list[list[dict[str, float]]]]) -> Figure:
    """Return the validation errors of forces and energies against the epoch, by backbone.

    `runs` are the histories of each backbone's seeds. A line is their mean, a band reaches from the
    lowest to the highest, both as far as all of them got.
    """
    figure, axes = new_figure(2)
    zero = 0.0
    for index, (name, seeds) in enumerate(runs.items()):
        epochs = min(len(history) for history in seeds)
        count = np.arange(1, epochs + 1)
        style = {"color": f"C{index % 10}", "linestyle": ("-", "--", ":")[index // 10 % 3]}
        for axis, key, factor in (
            (axes[0], "val_force_rmse", _OF_VECTORS),
            (axes[1], "val_energy_mae", 1.0),
        ):
            values = factor * np.array([[row[key] for row in one[:epochs]] for one in seeds])
            axis.plot(
                count, values.mean(axis=0), label=name, marker="." if epochs == 1 else "", **style
            )
            if len(seeds) > 1:
                low, high = values.min(axis=0), values.max(axis=0)
                axis.fill_between(count, low, high, color=style["color"], alpha=0.2, linewidth=0)
        zero = _OF_VECTORS * seeds[0][-1]["val_force_rmse_zero"]
    if runs:
        axes[0].axhline(zero, color=GREY, linestyle=":", label="predicting zero")
    axes[0].set(xlabel="epoch", ylabel="validation force RMSE (meV/Å)")
    axes[1].set(xlabel="epoch", ylabel="validation energy MAE (meV/atom)")
    for axis in axes:
        _logarithmic(axis)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right upper", frameon=False)
    return figure


def _logarithmic(axis: Any) -> None:
    """Make both axes logarithmic, with plain numbers at a handful of ticks."""
    axis.set(xscale="log", yscale="log")
    for line in (axis.xaxis, axis.yaxis):
        plain_ticks(line)


def _label(axis: Any, points: list[_Point]) -> None:
    """Write names beside their points.

    Each stands where it covers neither a point or a bar nor another name, if there is such a place.
    """
    from matplotlib.transforms import Bbox

    inside = axis.get_window_extent()
    taken = []
    for _, _, x, y, dx, dy in points:
        for low, high in (
            ((max(x - dx, x / 10), y), (x + dx, y)),
            ((x, max(y - dy, y / 10)), (x, y + dy)),
        ):
            taken.append(Bbox(axis.transData.transform([low, high])).padded(4))
    for point in points:
        tried = []
        for x, y in _PLACES:
            text = axis.annotate(
                point.name, (point.x, point.y), (x, y), textcoords="offset points",
                fontsize=8, color=point.color,
                ha="left" if x > 0 else "right" if x < 0 else "center",
                va="center" if y == 0 else "bottom" if y > 0 else "top",
            )  # fmt: skip
            text.set_in_layout(False)
            box = text.get_window_extent()
            outside = not (inside.contains(*box.min) and inside.contains(*box.max))
            tried.append((box.count_overlaps(taken) + 10 * outside, text, box))
            if not tried[-1][0]:
                break
        _, text, box = min(tried, key=lambda one: one[0])
        for _, other, _ in tried:
            if other is not text:
                other.remove()
        taken.append(box)
