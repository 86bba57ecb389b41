"""Table 3's rows less the run's own, molecule by molecule; in no paper of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from force2geo.evaluate.optimised import Row
    from force2geo.evaluate.table import Cell, Table

COLUMNS = {
    "against": "Less",
    "pct_success": "Chemical accuracy (points)",
    "residual": "Residual, mean (kcal/mol)",
    "pct_force_dft": "Force converged, by DFT (points)",
}
FINISHED_COLUMNS = {
    "basin_mean": "Residual to the basin's minimum, mean (kcal/mol)",
    "basin_within": "Within 1 kcal/mol of the basin's minimum (points)",
    "pct_gained": "Energy gained of that above the basin's minimum (points)",
    "lower_mean": "Residual to the lower minimum, mean (kcal/mol)",
    "other_basin": "In another conformer's basin (points)",
    "gradients": "DFT gradients (mean)",
}
SECONDS = {"seconds": "Seconds a molecule"}


def request(config: dict[str, Any]) -> dict[str, Any]:
    """Return the files of table 3's rows."""
    from force2geo.plan.finishes import finished_rows
    from force2geo.plan.relaxations import judged, of_another_set
    from force2geo.tables.table3 import request

    rows = {*judged(config), *finished_rows(config)}
    files = request(config)["files"]
    kept = {
        label: path for label, path in files.items() if label in rows or path.startswith("finish/")
    }
    return {"files": kept, **of_another_set(config)}


def build(asked: dict[str, Any], folder: Path) -> Table:
    """Return the table."""
    from force2geo.evaluate.optimised import read_rows

    rows = read_rows({row: folder / name for row, name in asked["files"].items()})
    return table3_paired(rows, asked.get("molecules", ""))


def table3_paired(rows: dict[str, Row], molecules: str = "") -> Table:
    """Return the differences of rows, each less the one it is compared with; see `reference`."""
    from force2geo.evaluate.table import Table
    from force2geo.evaluate.wording import counted

    finished = any(row.ends is not None for row in rows.values())
    columns = COLUMNS | (FINISHED_COLUMNS if finished else {}) | SECONDS
    pairs = {name: reference(name, list(rows)) for name in rows}
    cells = {
        name: {
            column: difference(rows[name], rows[other], column) if column != "against" else
            _word(other, rows[name])
            for column in columns
        }
        for name, other in pairs.items()
        if other is not None
    }  # fmt: skip
    count = len(next(iter(rows.values())).molecules)
    notes = [
        f"Each row less the one named, on the same {counted(count, 'molecule')} or those of them "
        "that have the number in both; intervals are 95 % of a bootstrap in which both have the "
        "same molecules. One that holds nought shows no difference."
    ]
    of = molecules or "D_opt"
    title = f"Geometry optimisation of {of}, rows less the run's own, paired"
    return Table("table3_paired", title, "Model", columns, cells, {}, notes)


def reference(name: str, names: list[str]) -> str | None:
    """Return the row that a row is compared with, None where it is that of all.

    The run's own from the same start, finished if the row is finished; its own finished one is
    compared with what it was before. Without a potential of its own the run's first is taken.
    """
    from force2geo.plan.finishes import FINISHED
    from force2geo.plan.relaxations import BETWEEN

    first = names[0].removesuffix(FINISHED).partition(BETWEEN)[0]
    bare = name.removesuffix(FINISHED)
    _, between, start = bare.partition(BETWEEN)
    own = first + between + start
    wanted = [own + FINISHED, own] if name != bare else [own]
    return next((one for one in wanted if one in names and one != name), None)


def difference(row: Row, other: Row, column: str) -> Cell:
    """Return a measure of a row less another's, paired, or why there is none."""
    from force2geo.evaluate.measures import paired
    from force2geo.evaluate.table import Cell

    if column not in row.measures or column not in other.measures:
        return Cell(None, reason="one of both has no such number")
    found = paired(row.measures[column], other.measures[column])
    if found is None:
        return Cell(None, reason="no molecule has the number in both")
    return Cell(found.value, row.source, interval=(found.low, found.high))


def _word(other: str, row: Row) -> Cell:
    from force2geo.evaluate.table import Cell

    return Cell(other, row.source)
