"""The benchmark's trainings by row and seed: what table 2 and the figures beside it are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from force2geo.plan.trainings import benchmark_name, lacking, path, seeds

if TYPE_CHECKING:
    from pathlib import Path

ROWS = {
    "schnet": "SchNet",
    "painn": "PaiNN",
    "nequip": "NequIP",
    "sevennet": "SevenNet",
    "allegro": "Allegro",
    "faenet": "FAENet",
    "mace": "MACE",
    "pace": "PACE",
    "equiformer": "Equiformer",
}
"""The names of table 2's models there; any other model of a run goes by its own."""
_BETWEEN = ", seed "


def by_seed(config: dict[str, Any]) -> dict[str, Any]:
    """Return the metrics of the benchmark's trainings, `ROW, seed N`, and what rows lack."""
    files, lacks = {}, {}
    for name in config["benchmark"]["backbones"]:
        row = ROWS.get(name, name)
        packages = lacking(config, name)
        if packages:
            lacks[row] = packages
            continue
        for seed in seeds(config):
            training = benchmark_name(config, name, seed)
            files[f"{row}{_BETWEEN}{seed}"] = path(config, training, "metrics.json")
    return {"files": files, "lacking": lacks}


def runs_of(asked: dict[str, Any], folder: Path) -> dict[str, dict[int, Path]]:
    """Return the metrics files that a table or figure asked for: by row, by seed."""
    runs: dict[str, dict[int, Path]] = {}
    for label, name in asked["files"].items():
        row, _, seed = label.rpartition(_BETWEEN)
        runs.setdefault(row, {})[int(seed)] = folder / name
    return runs
