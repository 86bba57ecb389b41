"""Relaxation of D_opt, by potential (Force2Geo, table 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from force2geo.evaluate.table import Table

COLUMNS = {
    "pct_energy": "Energy minimised (%)",
    "pct_success": "Chemical accuracy (%)",
    "pct_diverged": "Diverged (%)",
    "pct_force": "Force converged, by the potential (%)",
    "pct_force_dft": "Force converged, by DFT (%)",
}
GRADIENTS = {"gradients": "DFT gradients (mean)"}
"""Of a table with rows that DFT finished."""
_TRAINING, _FINISHING = "training of ", "finishing of "


def request(config: dict[str, Any]) -> dict[str, Any]:
    """Return D_opt's molecules by potential, and the metrics of those that were trained here."""
    from force2geo.plan.compared import compared
    from force2geo.plan.finishes import finished_rows
    from force2geo.plan.relaxations import OWN, judged
    from force2geo.plan.trainings import path

    trained = {OWN: "pretrain"} if "pretrain" in config else {}
    trained |= {name: f"pretrain.{name}" for name in compared(config, "training")}
    metrics = {_TRAINING + row: path(config, name, "metrics.json") for row, name in trained.items()}
    finished = {row: f"judged/{name}.csv" for row, name in finished_rows(config).items()}
    gradients = {
        _FINISHING + row: f"finish/{name}.csv" for row, name in finished_rows(config).items()
    }
    return {"files": {**judged(config), **finished, **gradients, **metrics}}


def build(asked: dict[str, Any], folder: Path) -> Table:
    """Return the table."""
    from force2geo.evaluate.geometry import read_molecules

    files = {row: folder / name for row, name in asked["files"].items()}

    def about(kind: str) -> dict[str, Path]:
        return {row.removeprefix(kind): path for row, path in files.items() if row.startswith(kind)}

    return table3(
        {
            row: (read_molecules(path), path)
            for row, path in files.items()
            if not row.startswith((_TRAINING, _FINISHING))
        },
        about(_TRAINING),
        about(_FINISHING),
    )


def table3(
    relaxed: dict[str, tuple[pd.DataFrame, Path]],
    training: dict[str, Path] | None = None,
    finishing: dict[str, Path] | None = None,
) -> Table:
    """Return the table of the molecules (and their file) by potential.

    `training` are the metrics files of those that were trained here, `finishing` the tables of
    `force2geo finish` of the rows that DFT finished.
    """
    import numpy as np

    from force2geo.evaluate.geometry import common, intervals, summary
    from force2geo.evaluate.relaxation_notes import (
        EQUATION_14,
        failures,
        gradients_of,
        set_note,
    )
    from force2geo.evaluate.table import Cell, Table, published
    from force2geo.evaluate.wording import counted
    from force2geo.files import read_json
    from force2geo.plan.relaxations import BETWEEN

    judged = common({row: molecules for row, (molecules, _) in relaxed.items()})
    rows, notes = {}, [EQUATION_14, set_note(relaxed, judged)]
    for row, molecules in judged.items():
        found, sure = summary(molecules), intervals(molecules)
        rows[row] = {column: Cell(found[column], relaxed[row][1]) for column in COLUMNS}
        if finishing:
            rows[row] |= {"gradients": Cell(0.0, relaxed[row][1])}
        if finishing and row in finishing:
            mean, note = gradients_of(row, finishing[row], list(molecules["cid"]))
            rows[row] |= {"gradients": Cell(mean, finishing[row])}
            notes.append(note)
        ranges = ", ".join(
            f"{COLUMNS[column].removesuffix(' (%)').lower().replace('dft', 'DFT')} "
            f"{low:.0f} to {high:.0f} %"
            for column, (low, high) in sure.items()
            if column in COLUMNS and np.isfinite(low)
        )
        residual = molecules["residual"].dropna()
        gains = int(molecules["percent"].notna().sum())
        notes += [
            f"{row}: {counted(len(molecules), 'molecule')}; 95 % intervals of a bootstrap over "
            f"them: {ranges}.",
            f"{row}: residual energy of {counted(len(residual), 'molecule')}"
            + (
                f", median {residual.median():.2f} kcal/mol, mean "
                "{:.2f} ({:.2f} to {:.2f}).".format(residual.mean(), *sure["residual"])
                if len(residual)
                else "."
            ),
            f"{row}: energy minimised of the {gains} that had energy to lose"
            + (
                f", median {found['pct_energy_median']:.1f} %, all molecules together "
                f"{found['pct_energy_total']:.1f} %."
                if gains
                else "."
            ),
            *failures(row, molecules),
        ]
    if any(BETWEEN in row for row in judged):
        notes.append(
            f"Rows that say {BETWEEN.strip(', ')} start from another geometry than the first DFT "
            "snapshot and have the energy of their own start to lose."
        )
    for row, path in (training or {}).items():
        run = read_json(path)
        seconds = sum(epoch["seconds"] for epoch in run["history"])
        notes.append(
            f"{row}: {run['parameters']} weights, {run['epochs']} epochs of training in "
            f"{seconds:.0f} s."
        )
    notes.append(
        "The mean of the energy minimised is ruled by molecules with little to lose, the sum by "
        "those with much."
    )
    title = "Geometry optimisation of D_opt from the first DFT snapshot"
    columns = COLUMNS | (GRADIENTS if finishing else {})
    return Table("table3", title, "Model", columns, rows, published("table3"), notes)
