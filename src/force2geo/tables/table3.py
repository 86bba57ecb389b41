"""Relaxation of D_opt, by potential (Force2Geo, table 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from force2geo.evaluate.optimised import Row
    from force2geo.evaluate.table import Cell, Table

COLUMNS = {
    "pct_energy": "Energy minimised (%)",
    "pct_success": "Chemical accuracy (%)",
    "pct_diverged": "Diverged (%)",
    "pct_force": "Force converged, by the potential (%)",
    "pct_force_dft": "Force converged, by DFT (%)",
}
FINISHED_COLUMNS = {
    "basin_mean": "Residual to the basin's minimum, mean (kcal/mol)",
    "basin_median": "Residual to the basin's minimum, median (kcal/mol)",
    "basin_within": "Within 1 kcal/mol of the basin's minimum (%)",
    "pct_gained": "Energy gained of that above the basin's minimum (%)",
    "lower_mean": "Residual to the lower minimum, mean (kcal/mol)",
    "other_basin": "In another conformer's basin (%)",
    "gradients": "DFT gradients (mean)",
}
"""Of a table with rows that DFT finished."""
SECONDS = {"seconds": "Seconds a molecule"}
_TRAINING = "training of "
_OF_ITSELF = ("basin_mean", "basin_median", "basin_within", "pct_gained")


def request(config: dict[str, Any]) -> dict[str, Any]:
    """Return D_opt's molecules by potential, and the metrics of those that were trained here."""
    from force2geo.plan.compared import compared
    from force2geo.plan.finishes import FINISHING, finished_rows
    from force2geo.plan.relaxations import OWN, judged, of_another_set
    from force2geo.plan.trainings import path

    trained = {OWN: "pretrain"} if "pretrain" in config else {}
    trained |= {name: f"pretrain.{name}" for name in compared(config, "training")}
    metrics = {_TRAINING + row: path(config, name, "metrics.json") for row, name in trained.items()}
    finished = {row: f"judged/{name}.csv" for row, name in finished_rows(config).items()}
    ends = {FINISHING + row: f"finish/{name}.csv" for row, name in finished_rows(config).items()}
    files = {**judged(config), **finished, **ends, **metrics}
    return {"files": files, **of_another_set(config)}


def build(asked: dict[str, Any], folder: Path) -> Table:
    """Return the table."""
    from force2geo.evaluate.optimised import read_rows

    files = {row: folder / name for row, name in asked["files"].items()}
    training = {row: path for row, path in files.items() if row.startswith(_TRAINING)}
    rows = read_rows({row: path for row, path in files.items() if row not in training})
    trained = {row.removeprefix(_TRAINING): path for row, path in training.items()}
    return table3(rows, trained, asked.get("molecules", ""))


def table3(
    rows: dict[str, Row], training: dict[str, Path] | None = None, molecules: str = ""
) -> Table:
    """Return the table of rows by potential.

    `training` are the metrics files of those that were trained here; `molecules` is the title of
    the data set that stands in place of D_opt, if one does.
    """
    from force2geo.evaluate.relaxation_notes import notes_of
    from force2geo.evaluate.table import Table, published
    from force2geo.files import read_json

    finished = any(row.ends is not None for row in rows.values())
    columns = COLUMNS | (FINISHED_COLUMNS if finished else {}) | SECONDS
    cells = {name: {column: cell(row, column) for column in columns} for name, row in rows.items()}
    notes = notes_of(rows)
    for name, path in (training or {}).items():
        run = read_json(path)
        seconds = sum(epoch["seconds"] for epoch in run["history"])
        notes.append(
            f"{name}: {run['parameters']} weights, {run['epochs']} epochs of training in "
            f"{seconds:.0f} s."
        )
    # Published numbers are of the published D_opt's kind of start, and of no other molecules.
    known = {} if molecules else published("table3")
    title = f"Geometry optimisation of {molecules or 'D_opt from the first DFT snapshot'}"
    return Table("table3", title, "Model", columns, cells, known, notes)


def cell(row: Row, column: str) -> Cell:
    """Return a measure of a row with its interval, or why there is none."""
    import numpy as np

    from force2geo.evaluate.table import Cell

    if row.ends is not None and column in _OF_ITSELF:
        return Cell(None, reason="it is the basin's minimum")
    if column == "gradients" and row.ends is None:
        return Cell(0.0, row.source)  # DFT took no step
    if column not in row.measures:
        return Cell(None, reason="DFT finishes none from here: finish.potentials, finish.starts")
    measure = row.measures[column]
    if not measure.known.any():
        return Cell(None, reason=_WHY_NONE.get(column, "no molecule has such a number"))
    low, high = measure.interval()
    interval = (low, high) if np.isfinite(low) else None
    return Cell(measure.value(), row.source, interval=interval)


_WHY_NONE = {
    "seconds": "relaxed by a version that kept no time",
    "pct_energy": "no molecule had energy to lose",
}
