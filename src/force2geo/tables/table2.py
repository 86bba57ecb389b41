"""Backbones on the subset S (Force2Geo, table 2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from force2geo.evaluate.table import Table

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
MODELS = {
    "SchNet": "schnet",
    "PaiNN": "painn",
    "NequIP": "nequip",
    "SevenNet": "sevennet",
    "Allegro": "allegro",
    "FAENet": "faenet",
    "MACE": "mace",
    "PACE": "pace",
    "Equiformer": "equiformer",
}


def request(config: dict[str, Any]) -> dict[str, Any]:
    """Return the metrics of the benchmark's trainings by row, and what packages others lack."""
    from force2geo.plan.trainings import lacking, path

    names = config["benchmark"]["backbones"]
    asked = {row: name for row, name in MODELS.items() if name in names}
    lacks = {row: lacking(config, name) for row, name in asked.items()}
    return {
        "files": {
            row: path(config, f"benchmark.{name}", "metrics.json")
            for row, name in asked.items()
            if not lacks[row]
        },
        "lacking": {row: packages for row, packages in lacks.items() if packages},
    }


def build(asked: dict[str, Any], folder: Path) -> Table:
    """Return the table, of the validation set."""
    from force2geo.evaluate.table import NOT_IN_THIS_RUN, Cell, Table, published
    from force2geo.evaluate.wording import counted
    from force2geo.files import read_json

    known = published("table2")
    rows: dict[str, dict[str, Cell]] = {}
    notes = []
    for row in known:
        if row not in asked["files"]:
            lacks = asked.get("lacking", {}).get(row)
            reason = f"{' and '.join(lacks)} not installed: make envs" if lacks else NOT_IN_THIS_RUN
            rows[row] = {column: Cell(None, reason=reason) for column in COLUMNS}
            continue
        path = folder / asked["files"][row]
        metrics = read_json(path)
        values = metrics | metrics["val"]
        values["minutes_per_epoch"] = metrics["seconds_per_epoch"] / 60
        # Trainings of before all of it was measured have less to tell.
        rows[row] = {
            column: Cell(values[column], path)
            if column in values
            else Cell(None, reason="not measured by the version that trained it")
            for column in COLUMNS
        }
        sizes = metrics["sizes"]
        notes.append(
            f"{row}: trained on {counted(sizes['train'], 'snapshot')}, judged on {sizes['val']}; "
            f"predicting zero force there has an RMSE of {values['force_rmse_zero']:.1f} meV/Å."
        )
    # The page's widest table has its last column, the reasons, out of sight.
    notes += [
        f"{row}: not trained, {' and '.join(lacks)} not installed; `make envs` installs it."
        for row, lacks in asked.get("lacking", {}).items()
    ]
    notes.append(
        "Errors of forces are over the vectors of atoms, as the paper's equation 6 has them, and "
        "over their components, √3 times less. Memory is the process's, its libraries included."
    )
    title = "Backbones on the subset S, validation set"
    return Table("table2", title, "Model", COLUMNS, rows, known, notes)
