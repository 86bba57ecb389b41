"""A table: cells that were computed or say why not, beside the published numbers; its files."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from force2geo.evaluate.origins import code_versions
from force2geo.evaluate.summaries import mean_and_deviation
from force2geo.files import hash_file, provenance_path, read_json, write_json, write_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_DEVIATION = ", standard deviation"
_INTERVAL = ", 95 % interval"
NOT_IN_THIS_VERSION = "no training of it in this version"
NOT_IN_THIS_RUN = "not part of this run's config"


@dataclass
class Cell:
    """A computed value, or the reason there is none; `source` is the artifact it was read from.

    Of several runs `value` is the mean, `deviation` their standard deviation (n − 1), and `runs`
    holds each one's value by its artifact. `interval` is where the value lies with 95 %, if that is
    known. A value may be a word.
    """

    value: float | str | None
    source: Path | None = None
    reason: str = ""
    deviation: float | None = None
    runs: dict[Path, float] = field(default_factory=dict)
    interval: Sequence[float] | None = None

    def origins(self) -> dict[Path, Any]:
        """Return the value of each artifact that this was read from."""
        return dict(self.runs) or ({self.source: self.value} if self.source else {})


def cell_of(runs: dict[Path, float]) -> Cell:
    """Return the cell of the values of one run or several, by artifact."""
    mean, deviation = mean_and_deviation(list(runs.values()))
    if len(runs) == 1:
        return Cell(mean, next(iter(runs)))
    return Cell(mean, deviation=deviation, runs=runs)


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


def _number(value: float | str, digits: int) -> str:
    """Return a value with so many significant digits, never in powers of ten; a word as it is."""
    if isinstance(value, int | str):
        return str(value)
    return np.format_float_positional(value, precision=digits, fractional=False, trim="-")


def _ranges(interval: Sequence[float] | None, digits: int) -> str:
    """Return `0.071 to 0.083`, nothing where there is no interval."""
    return " to ".join(_number(float(end), digits) for end in interval or ())


def _measured(value: float, deviation: float, digits: int) -> tuple[str, str]:
    """Return a mean to the second digit of its deviation, and this: 46.34, 0.41."""
    if not deviation > 0:
        return _number(value, digits), "0"
    decimals = min(max(0, 1 - math.floor(math.log10(deviation))), 6)
    return f"{value:.{decimals}f}", f"{deviation:.{decimals}f}"


def frame(table: Table, digits: int = 4) -> pd.DataFrame:
    """Return the table as text: each column, then those as published that have been.

    After a column whose runs differ stands another with their deviation, after one that has them
    another with intervals.
    """
    lines = []
    sure = {
        column
        for column in table.columns
        if any(cells[column].interval for cells in table.rows.values())
    }
    spread = {
        column
        for column in table.columns
        if any(cells[column].deviation for cells in table.rows.values())
    }
    published_ones = {
        column: label
        for column, label in table.columns.items()
        if any(column in numbers for numbers in table.published.values())
    }
    for row, cells in table.rows.items():
        line = {table.first: row}
        for column, label in table.columns.items():
            value, deviation = cells[column].value, cells[column].deviation
            line[label], told = "", ""
            if value is not None and not pd.isna(value):
                line[label] = _number(value, digits)
                if column in spread and deviation is not None and not isinstance(value, str):
                    line[label], told = _measured(value, deviation, digits)
            if column in spread:
                line[f"{label}{_DEVIATION}"] = told
            if column in sure:
                line[f"{label}{_INTERVAL}"] = _ranges(cells[column].interval, digits)
        for column, label in published_ones.items():
            number = table.published.get(row, {}).get(column)
            line[f"{label}, published"] = "" if number is None else f"{number:.10g}"
        line["Why empty"] = next((c.reason for c in cells.values() if c.reason), "")
        lines.append(line)
    return pd.DataFrame(lines)


def readable(data: pd.DataFrame) -> pd.DataFrame:
    """Return a table of `frame` with each deviation behind its number: 46.34 ± 0.41."""
    data = data.copy()
    for name in [name for name in data if name.endswith(_DEVIATION)]:
        deviation = data.pop(name)
        told = deviation.where(deviation == "", " ± " + deviation)
        data[name.removesuffix(_DEVIATION)] += told
    return data


def trace(table: Table) -> list[dict[str, Any]]:
    """Return, for every computed cell, the artifact it came from with hashes and settings.

    Of a cell that is a mean there is one entry a run: its own value, with mean and deviation.
    """
    cells = []
    for row, line in table.rows.items():
        for column, cell in line.items():
            mean = {"mean": cell.value, "deviation": cell.deviation, "runs": len(cell.runs)}
            for source, value in cell.origins().items():
                record = provenance_path(source)
                origin = read_json(record) if record.exists() else {}
                cells.append(
                    {
                        "row": row,
                        "column": column,
                        "value": value,
                        **(mean if cell.runs else {}),
                        **({"interval": list(cell.interval)} if cell.interval else {}),
                        "source": str(source),
                        "source_hash": hash_file(source),
                        "stage": origin.get("stage"),
                        "settings_hash": origin.get("settings_hash"),
                        "code": origin.get("code"),
                        "inputs": origin.get("inputs", {}),
                    }
                )
    return cells


def _mixed_code(table: Table) -> list[str]:
    """Return a warning where the cells' artifacts were made by several versions of the code."""
    cells = [cell for line in table.rows.values() for cell in line.values()]
    sources = {source for cell in cells for source in cell.origins()}
    versions = sorted(set().union(*(code_versions(source) for source in sources)))
    if len(versions) < 2:
        return []
    return [
        f"Warning: made by {len(versions)} versions of the code ({'; '.join(versions)}), which may "
        "not compute the same. `snakemake --forceall` makes all again."
    ]


def write_table_files(table: Table, folder: Path) -> None:
    """Write `<name>.csv`, `.md`, `.tex` and `.json` (where every cell comes from)."""
    numbers = frame(table)
    write_text(folder / f"{table.name}.csv", numbers.to_csv(index=False))
    data = readable(numbers)
    notes = "\n".join(f"- {note}" for note in [*table.notes, *_mixed_code(table)])
    header = "| " + " | ".join(data.columns) + " |\n|" + "---|" * len(data.columns) + "\n"
    body = "".join("| " + " | ".join(row) + " |\n" for row in data.to_numpy())
    write_text(folder / f"{table.name}.md", f"## {table.title}\n\n{header}{body}\n{notes}\n")
    write_text(folder / f"{table.name}.tex", _latex(data, table.title))
    write_json(folder / f"{table.name}.json", {"title": table.title, "cells": trace(table)})


def _latex(data: pd.DataFrame, title: str) -> str:
    def escape(text: str) -> str:
        for old in "&%_":
            text = text.replace(old, f"\\{old}")
        return text.replace("Å", r"\AA{}").replace("±", r"$\pm$")

    lines = [" & ".join(escape(c) for c in data.columns) + r" \\ \midrule"]
    lines += [" & ".join(escape(str(v)) for v in row) + r" \\" for row in data.to_numpy()]
    columns = "l" + "r" * (len(data.columns) - 2) + "l"
    return (
        "\\begin{table}\n\\caption{" + escape(title) + "}\n\\begin{tabular}{" + columns + "}\n"
        "\\toprule\n" + "\n".join(lines) + "\n\\bottomrule\n\\end{tabular}\n\\end{table}\n"
    )
