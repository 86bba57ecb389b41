"""Backbones on the subset S: validation error of forces against what it costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

CAPTION = (
    "Backbones on the subset S: validation force RMSE over the vectors of atoms against speed, "
    "size and memory; means over seeds, bars of one standard deviation."
)


def request(config: dict[str, Any]) -> dict[str, Any]:
    """Return what the figure is made of."""
    from force2geo.plan.benchmarks import by_seed

    return {"files": by_seed(config)["files"]}


def draw(asked: dict[str, Any], folder: Path) -> Figure:
    """Return the figure."""
    from force2geo.evaluate.benchmark_figures import costs_and_errors
    from force2geo.files import read_json
    from force2geo.plan.benchmarks import runs_of

    runs = runs_of(asked, folder).items()
    return costs_and_errors(
        {row: [read_json(path) for path in seeds.values()] for row, seeds in runs}
    )
