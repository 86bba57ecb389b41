"""A table: cells that were computed or say why not, beside the published numbers; its files."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from force2geo.evaluate.origins import code_versions
from force2geo.files import hash_file, provenance_path, read_json, write_json, write_text

if TYPE_CHECKING:
    from pathlib import Path

NOT_IN_THIS_VERSION = "no training of it in this version"
NOT_IN_THIS_RUN = "not part of this run's config"


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
