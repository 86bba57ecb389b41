"""Backbones on the subset S (Force2Geo, table 2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from force2geo.evaluate.table import Cell, Table

COLUMNS = {
    "energy_mae": "Energy MAE (meV/atom)",
    "force_rmse_vector": "Force RMSE, of atoms (meV/Å)",
    "force_rmse": "Force RMSE, of components (meV/Å)",
    "minutes_per_epoch": "Time (min/epoch)",
    "parameters": "Parameters",
    "peak_memory_mb": "Peak memory (MB)",
    "trained_per_second": "Training (snapshots/s)",
    "predicted_per_second": "Inference (snapshots/s)",
}
RANKED_BY = "force_rmse_vector"


def request(config: dict[str, Any]) -> dict[str, Any]:
    """Return the metrics of the benchmark's trainings by row and seed, and what rows lack."""
    from force2geo.plan.benchmarks import by_seed
    from force2geo.training_data import registry

    data = config["data"][config["benchmark"]["data"]]["from"]
    # The paper's own data are in no request, so that one of before is the same.
    other = {} if data == "pubchemqcr" else {"data": registry.find(data).about.title}
    return by_seed(config) | other


def build(asked: dict[str, Any], folder: Path) -> Table:
    """Return the table, of the validation set: means over seeds and their deviations."""
    from force2geo.evaluate.table import NOT_IN_THIS_RUN, Cell, Table, published
    from force2geo.evaluate.wording import counted
    from force2geo.files import read_json
    from force2geo.plan.benchmarks import runs_of

    known, runs, lacking = published("table2"), runs_of(asked, folder), asked.get("lacking", {})
    rows: dict[str, dict[str, Cell]] = {}
    data: dict[str, list[str]] = {}
    # The paper's rows first, then those of models that it does not have.
    for row in dict.fromkeys([*known, *runs, *lacking]):
        if row not in runs:
            lacks = lacking.get(row)
            reason = f"{' and '.join(lacks)} not installed: make envs" if lacks else NOT_IN_THIS_RUN
            rows[row] = {column: Cell(None, reason=reason) for column in COLUMNS}
            continue
        found = {path: read_json(path) for path in runs[row].values()}
        rows[row] = {column: _cell(column, found) for column in COLUMNS}
        metrics = next(iter(found.values()))
        sizes = metrics["sizes"]
        told = (
            f"trained on {counted(sizes['train'], 'snapshot')}, judged on {sizes['val']}; "
            "predicting zero force there has an RMSE of components of "
            f"{metrics['val']['force_rmse_zero']:.1f} meV/Å."
        )
        data.setdefault(told, []).append(row)
    notes = _seeds([list(seeds) for seeds in runs.values()])
    notes += [f"{', '.join(named)}: {told}" for told, named in data.items()]
    # The page's widest table has its last column, the reasons, out of sight.
    notes += [
        f"{row}: not trained, {' and '.join(lacks)} not installed; `make envs` installs it."
        for row, lacks in lacking.items()
    ]
    notes += _order(rows, known)
    notes.append(
        "Errors of forces are over the vectors of atoms, as the paper's equation 6 has them, and "
        "over their components, √3 times less. Memory is the process's, its libraries included."
    )
    if "data" in asked:
        notes.append("Published numbers are those of the subset S.")
    title = f"Backbones on {asked.get('data', 'the subset S')}, validation set"
    return Table("table2", title, "Model", COLUMNS, rows, known, notes)


def _cell(column: str, runs: dict[Path, dict[str, Any]]) -> Cell:
    """Return a column's cell of the metrics of one row's runs, by file."""
    from force2geo.evaluate.table import Cell, cell_of

    values = {}
    for path, metrics in runs.items():
        known = metrics | metrics["val"]
        known["minutes_per_epoch"] = metrics["seconds_per_epoch"] / 60
        if column not in known:
            # Trainings of before all of it was measured have less to tell.
            return Cell(None, reason="not measured by the version that trained it")
        values[path] = known[column]
    return cell_of(values)


def _seeds(rows: list[list[int]]) -> list[str]:
    """Return what numbers are of: the rows of a run all have the same seeds."""
    for seeds in rows[:1]:
        if len(seeds) == 1:
            return [f"One training a row, seed {seeds[0]}."]
        told = f"{', '.join(map(str, seeds[:-1]))} and {seeds[-1]}"
        return [
            f"Mean ± standard deviation (n − 1) of n = {len(seeds)} trainings a row, seeds {told}."
        ]
    return []


def _order(rows: dict[str, dict[str, Cell]], known: dict[str, dict[str, float]]) -> list[str]:
    """Return how the rows that were trained rank, each seed by itself, and how the paper's do."""
    import numpy as np

    from force2geo.evaluate.summaries import ranks

    values = {
        row: np.array(list(cells[RANKED_BY].origins().values()), dtype=float)
        for row, cells in rows.items()
    }
    values = {
        row: seeds for row, seeds in values.items() if len(seeds) and np.isfinite(seeds).all()
    }
    if len(values) < 2:
        return []
    ours = ranks(list(values.values())).mean(axis=1)
    theirs = ranks([known.get(row, {}).get(RANKED_BY, np.nan) for row in values])
    told = [
        f"{row} {own:.3g}" + ("" if np.isnan(paper) else f" ({paper:.3g})")
        for own, row, paper in sorted(zip(ours, values, theirs, strict=True))
    ]
    return [
        "Rank by the force RMSE of atoms, mean over seeds, and in brackets the published one of "
        f"the same rows: {', '.join(told)}."
    ]
