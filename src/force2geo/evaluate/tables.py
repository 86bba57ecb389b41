"""The papers' tables for the data at hand, beside the published numbers."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from force2geo.evaluate.geometry import intervals, summary
from force2geo.files import hash_file, provenance_path, write_json, write_text

if TYPE_CHECKING:
    from pathlib import Path

NOT_IN_THIS_VERSION = "model not in this version"
NOT_IN_THIS_RUN = "not part of this run's config"
DATA = {
    "trajectories": "Trajectories",
    "snapshots": "Snapshots",
    "mean_snapshots": "Snapshots a trajectory",
}
DATA_STAGES = {"PM3": "pm3", "Hartree-Fock": "hf", "DFT 1st": "dft_1st", "DFT 2nd": "dft_2nd"}
TABLE2 = {
    "energy_mae": "Energy MAE (meV/atom)",
    "force_rmse": "Force RMSE (meV/Å)",
    "minutes_per_epoch": "Time (min/epoch)",
}
TABLE3 = {
    "pct_energy": "Energy minimised (%)",
    "pct_success": "Chemical accuracy (%)",
    "pct_diverged": "Diverged (%)",
    "pct_force": "Force converged (%)",
}
GAP = {
    "random_val": "Random val MAE (eV)",
    "random_test": "Random test MAE (eV)",
    "scaffold_val": "Scaffold val MAE (eV)",
    "scaffold_test": "Scaffold test MAE (eV)",
}
TABLE4_RECIPES = {
    "RDKit 3D + PaiNN": "geometry_rdkit",
    "PM3 & HF 3D + PaiNN": "geometry_hf",
    "Force2Geo + PaiNN": "geometry_force2geo",
    "DFT 3D + PaiNN (ground truth)": "painn",
}
TABLE6_RECIPES = {"SchNet": "schnet", "PaiNN": "painn", "Force2Prop w/ PaiNN": "force2prop"}


@dataclass
class Cell:
    """A computed value, or the reason there is none; `source` is the artifact it was read from."""

    value: float | None
    source: Path | None = None
    reason: str = ""


@dataclass
class Table:
    """Rows by name, cells by column; `published` holds the paper's numbers."""

    name: str
    title: str
    first: str
    columns: dict[str, str]
    rows: dict[str, dict[str, Cell]]
    published: dict[str, dict[str, float]]
    notes: list[str] = field(default_factory=list)


def published(name: str) -> dict[str, dict[str, float]]:
    """Return the published rows of a table, `{row: {column: value}}`."""
    text = files("force2geo.evaluate").joinpath("published.json").read_text(encoding="utf-8")
    table = json.loads(text)[name]
    rows = {row: zip(table["columns"], v, strict=True) for row, v in table["rows"].items()}
    return {row: {k: v for k, v in cells if v is not None} for row, cells in rows.items()}


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def table_a3(statistics: Path) -> Table:
    """Return the data set's counts of appendix A.3, stage by stage."""
    found = _read(statistics)
    rows: dict[str, dict[str, Cell]] = {}
    for row, stage in DATA_STAGES.items():
        counts, reason = found[stage], "the store has no such stage"
        present = counts["trajectories"] > 0
        rows[row] = {
            column: Cell(counts[column], statistics) if present else Cell(None, reason=reason)
            for column in DATA
        }
    mean = found["snapshots"] / found["trajectories"]
    rows["All stages"] = {
        "trajectories": Cell(found["trajectories"], statistics),
        "snapshots": Cell(found["snapshots"], statistics),
        "mean_snapshots": Cell(mean, statistics),
    }
    notes = [
        f"{found['mean_atoms']:.1f} atoms a molecule, {found['mean_heavy_atoms']:.1f} of them "
        f"heavy (published: 29 and 14); {len(found['elements'])} elements (published: 25).",
        f"{found['rejected_logs']} logs rejected; {found['trajectories_with_breaks']} "
        "trajectories with a stage that does not start where the one before ended.",
    ]
    if found["dft_points"]["snapshots"]:
        notes.append(
            f"All stages: with {found['dft_points']['snapshots']} single points off the paths."
        )
    title = "The relaxations in the store"
    return Table("tableA3", title, "Stage", DATA, rows, published("tableA3"), notes)


def table2(benchmark: dict[str, Path]) -> Table:
    """Return table 2: backbones on S's validation set; `benchmark` maps backbone to metrics."""
    names = {"SchNet": "schnet", "PaiNN": "painn"}
    known = published("table2")
    rows: dict[str, dict[str, Cell]] = {}
    notes = []
    for row in known:
        path = benchmark.get(names.get(row, ""))
        if path is None:
            reason = NOT_IN_THIS_RUN if row in names else NOT_IN_THIS_VERSION
            rows[row] = {column: Cell(None, reason=reason) for column in TABLE2}
            continue
        metrics = _read(path)
        values = metrics["val"] | {"minutes_per_epoch": metrics["seconds_per_epoch"] / 60}
        rows[row] = {column: Cell(values[column], path) for column in TABLE2}
        sizes = metrics["sizes"]
        notes.append(
            f"{row}: trained on {sizes['train']} snapshots, judged on {sizes['val']}; predicting "
            f"zero force there has an RMSE of {values['force_rmse_zero']:.1f} meV/Å."
        )
    title = "Backbones on the subset S, validation set"
    return Table("table2", title, "Model", TABLE2, rows, known, notes)


def table3(
    relaxed: dict[str, tuple[pd.DataFrame, Path]], training: dict[str, Path] | None = None
) -> Table:
    """Return table 3, relaxation of D_opt: rows per molecule and their file, by potential.

    `training` are the metrics files of those that were trained here.
    """
    rows, notes = {}, []
    for row, (molecules, source) in relaxed.items():
        found, sure = summary(molecules), intervals(molecules)
        rows[row] = {column: Cell(found[column], source) for column in TABLE3}
        ranges = ", ".join(
            f"{TABLE3[column].removesuffix(' (%)').lower()} {low:.0f} to {high:.0f} %"
            for column, (low, high) in sure.items()
            if column in TABLE3 and np.isfinite(low)
        )
        residual = molecules["residual"].dropna()
        gains = int(molecules["percent"].notna().sum())
        notes += [
            f"{row}: {found['molecules']} molecules; 95 % intervals of a bootstrap over them: "
            f"{ranges}.",
            f"{row}: residual energy of {len(residual)} molecules, median {residual.median():.2f} "
            "kcal/mol, mean {:.2f} ({:.2f} to {:.2f}).".format(residual.mean(), *sure["residual"]),
            f"{row}: energy minimised of the {gains} that had energy to lose, median "
            f"{found['pct_energy_median']:.1f} %, all molecules together "
            f"{found['pct_energy_total']:.1f} %. Judged by DFT forces, "
            f"{found['pct_force_dft']:.1f} % are below 0.05 eV/Å.",
        ]
    for row, path in (training or {}).items():
        run = _read(path)
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
    return Table("table3", title, "Model", TABLE3, rows, published("table3"), notes)


def gap_table(
    name: str, title: str, recipes: dict[str, str], metrics: dict[tuple[str, str], Path]
) -> Table:
    """Return table 4 or 6; `metrics` maps (split, recipe) to a run's metrics file."""
    known = published(name)
    rows: dict[str, dict[str, Cell]] = {}
    notes = []
    for row in known:
        recipe = recipes.get(row)
        cells = {}
        for column in GAP:
            split, part = column.split("_")
            path = metrics.get((split, recipe or ""))
            if path is None:
                reason = NOT_IN_THIS_VERSION if recipe is None else NOT_IN_THIS_RUN
                cells[column] = Cell(None, reason=reason)
            else:
                cells[column] = Cell(_read(path)[part]["property_mae"], path)
        rows[row] = cells
    sizes = {split: _read(path)["sizes"] for (split, _), path in metrics.items()}
    for split, size in sizes.items():
        notes.append(
            f"{split.capitalize()} split: {size['train']} molecules to train on, {size['val']} to "
            f"validate, {size['test']} to test."
        )
    return Table(name, title, "Model", GAP, rows, known, notes)


def sweep_table(name: str, title: str, first: str, runs: dict[str, Path]) -> Table:
    """Return table 11 or 12: one setting of geometry fine-tuning varied, random split."""
    columns = {"random_val": GAP["random_val"]}
    known = published(name)
    rows = {
        value: {
            "random_val": Cell(_read(runs[value])["val"]["property_mae"], runs[value])
            if value in runs
            else Cell(None, reason=NOT_IN_THIS_RUN)
        }
        for value in sorted(set(known) | set(runs), key=float)
    }
    return Table(name, title, first, columns, rows, known)


def _number(value: float, digits: int) -> str:
    if isinstance(value, int):
        return str(value)
    """Return a value with so many significant digits, never in powers of ten."""
    return np.format_float_positional(value, precision=digits, fractional=False, trim="-")


def frame(table: Table, digits: int = 4) -> pd.DataFrame:
    """Return the table as text: each column, then the same as published."""
    lines = []
    for row, cells in table.rows.items():
        line = {table.first: row}
        for column, label in table.columns.items():
            value = cells[column].value
            line[label] = "" if value is None or pd.isna(value) else _number(value, digits)
        for column, label in table.columns.items():
            number = table.published.get(row, {}).get(column)
            line[f"{label}, published"] = "" if number is None else f"{number:.10g}"
        line["Why empty"] = next((c.reason for c in cells.values() if c.reason), "")
        lines.append(line)
    return pd.DataFrame(lines)


def trace(table: Table) -> list[dict[str, Any]]:
    """Return, for every computed cell, the artifact it came from with hashes and settings."""
    cells = []
    for row, line in table.rows.items():
        for column, cell in line.items():
            if cell.source is None:
                continue
            record = provenance_path(cell.source)
            origin = _read(record) if record.exists() else {}
            cells.append(
                {
                    "row": row,
                    "column": column,
                    "value": cell.value,
                    "source": str(cell.source),
                    "source_hash": hash_file(cell.source),
                    "stage": origin.get("stage"),
                    "settings_hash": origin.get("settings_hash"),
                    "code": origin.get("code"),
                    "inputs": origin.get("inputs", {}),
                }
            )
    return cells


def write_table_files(table: Table, folder: Path) -> None:
    """Write `<name>.csv`, `.md`, `.tex` and `.json` (where every cell comes from)."""
    data = frame(table)
    write_text(folder / f"{table.name}.csv", data.to_csv(index=False))
    notes = "\n".join(f"- {note}" for note in table.notes)
    header = "| " + " | ".join(data.columns) + " |\n|" + "---|" * len(data.columns) + "\n"
    body = "".join("| " + " | ".join(row) + " |\n" for row in data.to_numpy())
    write_text(folder / f"{table.name}.md", f"## {table.title}\n\n{header}{body}\n{notes}\n")
    write_text(folder / f"{table.name}.tex", _latex(data, table.title))
    write_json(folder / f"{table.name}.json", {"title": table.title, "cells": trace(table)})


def _latex(data: pd.DataFrame, title: str) -> str:
    def escape(text: str) -> str:
        for old, new in (("&", r"\&"), ("%", r"\%"), ("_", r"\_"), ("Å", r"\AA{}")):
            text = text.replace(old, new)
        return text

    lines = [" & ".join(escape(c) for c in data.columns) + r" \\ \midrule"]
    lines += [" & ".join(escape(str(v)) for v in row) + r" \\" for row in data.to_numpy()]
    columns = "l" + "r" * (len(data.columns) - 2) + "l"
    return (
        "\\begin{table}\n\\caption{" + escape(title) + "}\n\\begin{tabular}{" + columns + "}\n"
        "\\toprule\n" + "\n".join(lines) + "\n\\bottomrule\n\\end{tabular}\n\\end{table}\n"
    )
