"""Tables of property models: errors of the HOMO–LUMO gap on molecules that all rows share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from force2geo.evaluate.property_errors import common_errors
from force2geo.evaluate.table import (
    NOT_IN_THIS_RUN,
    NOT_IN_THIS_VERSION,
    Cell,
    Table,
    published,
)
from force2geo.evaluate.wording import counted
from force2geo.files import read_json
from force2geo.plan.properties import BETWEEN

if TYPE_CHECKING:
    from pathlib import Path

GAP = {
    "random_val": "Random val MAE (eV)",
    "random_test": "Random test MAE (eV)",
    "scaffold_val": "Scaffold val MAE (eV)",
    "scaffold_test": "Scaffold test MAE (eV)",
}
_PARTS = {"train": "train on", "val": "validate", "test": "test"}


def runs_of(asked: dict[str, Any], folder: Path) -> dict[tuple[str, str], Path]:
    """Return `{(split, row): metrics}` of what a table asked for."""
    split_rows = {
        tuple(label.split(BETWEEN, 1)): folder / name
        for label, name in asked["files"].items()
        if name.endswith("metrics.json")
    }
    return {(split, row): path for (split, row), path in split_rows.items()}


def gap_table(
    name: str, title: str, recipes: dict[str, str], metrics: dict[tuple[str, str], Path]
) -> Table:
    """Return a table of rows that `recipes` names; `metrics` maps (split, row) to metrics files.

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
            row: metrics[split, row] for row in recipes if row in known and (split, row) in metrics
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
