"""Tables of property models: errors on molecules that all rows share, and how sure they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from force2geo.evaluate.pooled import contrast, pooled
from force2geo.evaluate.property_errors import common_errors
from force2geo.evaluate.table import (
    NOT_IN_THIS_RUN,
    NOT_IN_THIS_VERSION,
    Cell,
    Table,
    cell_of,
    published,
)
from force2geo.evaluate.wording import counted, listed
from force2geo.files import read_json
from force2geo.plan.properties import SPLITS, label, runs_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    import numpy as np

_PARTS = {"train": "train on", "val": "validate", "test": "test"}


def unit_of(metrics: Iterable[Path]) -> str:
    """Return the unit of errors in metrics files, eV where none says it."""
    found = {read_json(path).get("units", {}).get("property_mae", "eV") for path in metrics}
    return next(iter(found), "eV")


def columns_of(splits: Iterable[str], unit: str) -> dict[str, str]:
    """Return the columns of validation and test on splits."""
    return {
        f"{split}_{part}": f"{split.capitalize()} {part} MAE ({unit})"
        for split in splits
        for part in ("val", "test")
    }


def gap_table(
    name: str,
    title: str,
    asked: dict[str, Any],
    folder: Path,
    rows: Iterable[str],
    splits: Iterable[str] = SPLITS,
    reference: str = "",
    first: str = "Model",
    of: str = "Molecule3D's subset of 600,000 molecules",
) -> Table:
    """Return a table of property models, MAE of validation and test on each of `splits`.

    `asked` names files as `plan.properties.by_row` does; published rows that are none of `rows`
    are empty, and so are rows that the run has not. A column's cells are errors on one common set
    of molecules, those that every row could take. Test errors of other rows are compared with those
    of the row `reference`. The published numbers are `of` some data.
    """
    known, rows = published(name), list(rows)
    runs = runs_of(asked, folder)
    unit = unit_of(path for seeds in runs.values() for path in seeds.values())
    columns = columns_of(splits, unit)
    empty = {row: _why_empty(row, rows, asked) for row in dict.fromkeys([*known, *rows])}
    table: dict[str, dict[str, Cell]] = {
        row: {column: Cell(None, reason=why) for column in columns} for row, why in empty.items()
    }
    notes = [
        f"The target '{asked.get('target', 'gap')}' of the data set {asked['data']}; published "
        f"numbers are of the gap of {of}."
    ]
    trained: dict[str, list[int]] = {}
    for split in splits:
        own = {row: runs[label(split, row)] for row in rows if label(split, row) in runs}
        if not own:
            continue
        trained |= {row: list(seeds) for row, seeds in own.items()}
        told = _fill(table, own, split)
        notes.append(f"{split.capitalize()} split: {'; '.join(told)}.")
        notes += _compared(own, reference, split, unit)
    return Table(name, title, first, columns, table, known, [*notes, *_seeds(trained)])


def _why_empty(row: str, rows: list[str], asked: dict[str, Any]) -> str:
    if row not in rows:
        return NOT_IN_THIS_VERSION
    lacks = asked.get("lacking", {}).get(row)
    if lacks:
        return f"{' and '.join(lacks)} not installed: make envs"
    if row in asked.get("absent", {}):
        return f"the data set {asked['data']} has no geometry '{asked['absent'][row]}'"
    return str(asked.get("reason", NOT_IN_THIS_RUN))


def _fill(
    table: dict[str, dict[str, Cell]], runs: dict[str, dict[int, Path]], split: str
) -> list[str]:
    """Put the errors of runs on a split into the table's cells; return what they are of."""
    found = {path: read_json(path) for seeds in runs.values() for path in seeds.values()}
    firsts = {row: found[next(iter(seeds.values()))] for row, seeds in runs.items()}
    sizes = {part: {row: run["sizes"][part] for row, run in firsts.items()} for part in _PARTS}
    told = [f"{_counts(sizes['train'], 'molecule')} to train on"]
    for part in ("val", "test"):
        errors = common_errors(runs, part)
        for row, seeds in runs.items():
            table[row][f"{split}_{part}"] = (
                cell_of({path: found[path][part]["property_mae"] for path in seeds.values()})
                if errors is None
                else _cell(seeds, errors[row], part)
            )
        if errors is None:
            told.append(f"{_counts(sizes[part])} to {_PARTS[part]}, each its own")
        else:
            told.append(f"the same {_molecules(errors)} to {_PARTS[part]} for all")
    return told


def _molecules(errors: Mapping[str, Mapping[int, np.ndarray]]) -> int:
    return len(next(iter(next(iter(errors.values())).values())))


def _cell(seeds: dict[int, Path], errors: Mapping[int, np.ndarray], part: str) -> Cell:
    """Return the cell of a row's errors by seed; of test errors with their interval."""
    cell = cell_of({
        path.with_name("predictions.npz"): float(errors[seed].mean())
        for seed, path in seeds.items()
    })  # fmt: skip
    if part == "test":
        _, *cell.interval, _, _ = pooled(_stacked(errors))
    return cell


def _stacked(errors: Mapping[int, np.ndarray]) -> np.ndarray:
    import numpy as np

    return np.stack(list(errors.values()))


def _compared(runs: dict[str, dict[int, Path]], reference: str, split: str, unit: str) -> list[str]:
    """Return by how much the test errors of rows exceed the reference's, paired by molecule."""
    errors = common_errors(runs, "test") if reference in runs and len(runs) > 1 else None
    if errors is None:
        return []
    told = []
    for row, own in errors.items():
        found = contrast([(1, own), (-1, errors[reference])]) if row != reference else None
        if found is not None:
            told.append(f"{row} {found.mean:+.4f} ({found.low:+.4f} to {found.high:+.4f})")
    return [
        f"{split.capitalize()} split, test MAE less that of {reference}, {unit}, with the 95 % "
        f"interval of a bootstrap paired by molecule and seed: {'; '.join(told)}."
    ]


def _seeds(trained: dict[str, list[int]]) -> list[str]:
    """Return which trainings the numbers are of."""
    if not trained:
        return []
    most = max(trained.values(), key=len)
    if len(most) == 1:
        return [
            f"One training a row, seed {most[0]}; intervals are 95 % of a bootstrap over test "
            "molecules and do not know how another seed would have done."
        ]
    fewer = [f"{row} ({listed(seeds)})" for row, seeds in trained.items() if seeds != most]
    return [
        f"Mean ± standard deviation (n − 1) of n = {len(most)} trainings a row, seeds "
        f"{listed(most)}"
        + (f"; of other seeds: {', '.join(fewer)}" if fewer else "")
        + ". Intervals are 95 % of a bootstrap over test molecules and seeds."
    ]


def _counts(sizes: dict[str, int], noun: str = "") -> str:
    """Return one number, of things perhaps, where all rows have the same, else each row's."""
    if len(set(sizes.values())) == 1:
        size = next(iter(sizes.values()))
        return counted(size, noun) if noun else str(size)
    each = ", ".join(f"{size} ({row})" for row, size in sizes.items())
    return f"{each} {noun}s" if noun else each


def sweep_table(name: str, title: str, asked: dict[str, Any], folder: Path) -> Table:
    """Return table 11 or 12: one setting of geometry fine-tuning varied, random split."""
    known = published(name)
    spelt = {float(value): value for value in known}  # 0.10 is the published 0.1
    found = [told.partition(": ")[2] for told in runs_of(asked, folder)]
    shown = {value: spelt.get(float(value), value) for value in found}
    files = {}
    for told, path in asked["files"].items():
        split, _, rest = told.partition(": ")
        value, _, tail = rest.partition(", ")
        files[f"{label(split, shown[value])}, {tail}"] = path
    rows = sorted({*known, *shown.values()}, key=float)
    table = gap_table(name, title, asked | {"files": files}, folder, rows, ["random"], first=title)
    return Table(**(vars(table) | {"rows": {row: table.rows[row] for row in rows}}))
