"""The papers' tables for the data at hand, beside the published numbers."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from force2geo.evaluate.geometry import common, intervals, summary
from force2geo.evaluate.origins import code_versions
from force2geo.evaluate.property_errors import common_errors
from force2geo.evaluate.relaxation_notes import EQUATION_14, failures, set_note
from force2geo.evaluate.wording import counted
from force2geo.files import hash_file, provenance_path, read_json, write_json, write_text

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
    "pct_force": "Force converged, by the potential (%)",
    "pct_force_dft": "Force converged, by DFT (%)",
}
GAP = {
    "random_val": "Random val MAE (eV)",
    "random_test": "Random test MAE (eV)",
    "scaffold_val": "Scaffold val MAE (eV)",
    "scaffold_test": "Scaffold test MAE (eV)",
}
_PARTS = {"train": "train on", "val": "validate", "test": "test"}
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


def table_a3(statistics: Path) -> Table:
    """Return the data set's counts of appendix A.3, stage by stage."""
    found = read_json(statistics)
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
        f"{counted(found['rejected_logs'], 'log')} rejected; "
        f"{counted(found['trajectories_with_breaks'], 'trajectory', 'trajectories')} with a stage "
        "that does not start where the one before ended.",
    ]
    if found["dft_points"]["snapshots"]:
        notes.append(
            f"All stages: with {counted(found['dft_points']['snapshots'], 'single point')} off the "
            "paths."
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
        metrics = read_json(path)
        values = metrics["val"] | {"minutes_per_epoch": metrics["seconds_per_epoch"] / 60}
        rows[row] = {column: Cell(values[column], path) for column in TABLE2}
        sizes = metrics["sizes"]
        notes.append(
            f"{row}: trained on {counted(sizes['train'], 'snapshot')}, judged on {sizes['val']}; "
            f"predicting zero force there has an RMSE of {values['force_rmse_zero']:.1f} meV/Å."
        )
    title = "Backbones on the subset S, validation set"
    return Table("table2", title, "Model", TABLE2, rows, known, notes)


def table3(
    relaxed: dict[str, tuple[pd.DataFrame, Path]], training: dict[str, Path] | None = None
) -> Table:
    """Return table 3, relaxation of D_opt: rows per molecule and their file, by potential.

    `training` are the metrics files of those that were trained here.
    """
    judged = common({row: molecules for row, (molecules, _) in relaxed.items()})
    rows, notes = {}, [EQUATION_14, set_note(relaxed, judged)]
    for row, molecules in judged.items():
        found, sure = summary(molecules), intervals(molecules)
        rows[row] = {column: Cell(found[column], relaxed[row][1]) for column in TABLE3}
        ranges = ", ".join(
            f"{TABLE3[column].removesuffix(' (%)').lower().replace('dft', 'DFT')} "
            f"{low:.0f} to {high:.0f} %"
            for column, (low, high) in sure.items()
            if column in TABLE3 and np.isfinite(low)
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
    return Table("table3", title, "Model", TABLE3, rows, published("table3"), notes)


def gap_table(
    name: str, title: str, recipes: dict[str, str], metrics: dict[tuple[str, str], Path]
) -> Table:
    """Return table 4 or 6; `metrics` maps (split, recipe) to a run's metrics file.

    A column's cells are errors on one common set of molecules, those that every recipe could take.
    """
    known = published(name)
    rows: dict[str, dict[str, Cell]] = {
        row: {
            column: Cell(None, reason=NOT_IN_THIS_RUN if row in recipes else NOT_IN_THIS_VERSION)
            for column in GAP
        }
        for row in known
    }
    notes = []
    for split in dict.fromkeys(column.split("_")[0] for column in GAP):
        runs = {
            row: metrics[split, recipe]
            for row, recipe in recipes.items()
            if row in known and (split, recipe) in metrics
        }
        if not runs:
            continue
        found = {row: read_json(path) for row, path in runs.items()}
        sizes = {part: {row: run["sizes"][part] for row, run in found.items()} for part in _PARTS}
        told = [f"{_counts(sizes['train'], 'molecule')} to train on"]
        for part in ("val", "test"):
            shared = common_errors(runs, part)
            for row, path in runs.items():
                rows[row][f"{split}_{part}"] = (
                    Cell(found[row][part]["property_mae"], path)
                    if shared is None
                    else Cell(shared[0][row], path.with_name("predictions.npz"))
                )
            if shared is None:
                told.append(f"{_counts(sizes[part])} to {_PARTS[part]}, each its own")
            else:
                told.append(f"the same {shared[1]} to {_PARTS[part]} for all")
        notes.append(f"{split.capitalize()} split: {'; '.join(told)}.")
    return Table(name, title, "Model", GAP, rows, known, notes)


def _counts(sizes: dict[str, int], noun: str = "") -> str:
    """Return one number, of things perhaps, where all rows have the same, else each row's."""
    if len(set(sizes.values())) == 1:
        size = next(iter(sizes.values()))
        return counted(size, noun) if noun else str(size)
    each = ", ".join(f"{size} ({row})" for row, size in sizes.items())
    return f"{each} {noun}s" if noun else each


def sweep_table(name: str, title: str, first: str, runs: dict[str, Path]) -> Table:
    """Return table 11 or 12: one setting of geometry fine-tuning varied, random split.

    `runs` maps the setting's value to a run's metrics file; the errors are those of validation.
    """
    columns = {"random_val": GAP["random_val"]}
    known = published(name)
    spelt = {float(value): value for value in known}  # 0.10 is the published 0.1
    runs = {spelt.get(float(value), value): path for value, path in runs.items()}
    rows = {
        value: {
            "random_val": Cell(read_json(runs[value])["val"]["property_mae"], runs[value])
            if value in runs
            else Cell(None, reason=NOT_IN_THIS_RUN)
        }
        for value in sorted(set(known) | set(runs), key=float)
    }
    sizes = {value: read_json(path)["sizes"]["val"] for value, path in runs.items()}
    notes = [f"Judged on {_counts(sizes, 'molecule')}."] if sizes else []
    return Table(name, title, first, columns, rows, known, notes)


def _number(value: float, digits: int) -> str:
    """Return a value with so many significant digits, never in powers of ten."""
    if isinstance(value, int):
        return str(value)
    return np.format_float_positional(value, precision=digits, fractional=False, trim="-")


def frame(table: Table, digits: int = 4) -> pd.DataFrame:
    """Return the table as text: each column, then those as published that have been."""
    lines = []
    published_ones = {
        column: label
        for column, label in table.columns.items()
        if any(column in numbers for numbers in table.published.values())
    }
    for row, cells in table.rows.items():
        line = {table.first: row}
        for column, label in table.columns.items():
            value = cells[column].value
            line[label] = "" if value is None or pd.isna(value) else _number(value, digits)
        for column, label in published_ones.items():
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
            origin = read_json(record) if record.exists() else {}
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


def _mixed_code(table: Table) -> list[str]:
    """Return a warning where the cells' artifacts were made by several versions of the code."""
    sources = {cell.source for line in table.rows.values() for cell in line.values()}
    made = {source: code_versions(source) for source in sources if source is not None}
    versions = sorted(set().union(*made.values()))
    if len(versions) < 2:
        return []
    return [
        f"Warning: made by {len(versions)} versions of the code ({'; '.join(versions)}), which may "
        "not compute the same. `snakemake --forceall` makes all again."
    ]


def write_table_files(table: Table, folder: Path) -> None:
    """Write `<name>.csv`, `.md`, `.tex` and `.json` (where every cell comes from)."""
    data = frame(table)
    write_text(folder / f"{table.name}.csv", data.to_csv(index=False))
    notes = "\n".join(f"- {note}" for note in [*table.notes, *_mixed_code(table)])
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
