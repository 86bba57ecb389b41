"""Backbones on the subset S: validation errors against the epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

CAPTION = (
    "Backbones on the subset S: validation error against the epoch, mean over seeds; bands reach "
    "from the best seed to the worst. Forces are over the vectors of atoms."
)


def request(config: dict[str, Any]) -> dict[str, Any]:
    """Return what the figure is made of."""
    from force2geo.plan.benchmarks import by_seed

    return {"files": by_seed(config)["files"]}


def draw(asked: dict[str, Any], folder: Path) -> Figure:
    """Return the figure."""
    from force2geo.evaluate.benchmark_figures import learning_curves
    from force2geo.files import read_json
    from force2geo.plan.benchmarks import runs_of

    runs = runs_of(asked, folder).items()
    return learning_curves(
        {row: [read_json(path)["history"] for path in seeds.values()] for row, seeds in runs}
    )
