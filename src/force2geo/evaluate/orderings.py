"""The table of orderings: each predicted difference with its interval and what comes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from force2geo.evaluate.gaps import unit_of
from force2geo.evaluate.pooled import contrast, verdict
from force2geo.evaluate.property_errors import common_errors
from force2geo.evaluate.table import NOT_IN_THIS_RUN, Cell, Table
from force2geo.files import read_json
from force2geo.plan.orderings import ORDERINGS, noise_row, size_row
from force2geo.plan.properties import label, runs_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

COLUMNS = {
    "difference": "Difference of test MAE",
    "relative": "Of the larger error (%)",
    "seeds": "Seeds",
    "molecules": "Test molecules",
    "verdict": "Verdict",
}
_Runs = dict[str, dict[int, "Path"]]


def orderings_table(asked: dict[str, Any], folder: Path) -> Table:
    """Return the table of files that `plan.orderings.request` names, every claim a row.

    A difference is positive where the claim holds; its interval decides: above zero `shown`, below
    zero `opposite`, else `not shown`.
    """
    runs, split = runs_of(asked, folder), asked["split"]
    rows: dict[str, dict[str, Cell]] = {}
    known: dict[str, dict[str, float]] = {}
    for one in ORDERINGS:
        pair = [(1.0, label(split, one.worse)), (-1.0, label(split, one.better))]
        rows[one.claim] = _row(pair, runs)
        if one.published is not None:
            known[one.claim] = {"difference": round(one.published, 4)}
    rows |= _most_at_small_size(runs, split, asked["sizes"])
    found, notes = _optimum(runs, asked["noise"])
    rows |= found
    notes = [
        f"The target '{asked.get('target', 'gap')}' of the data set {asked['data']}, {split} "
        "split. Differences are of absolute errors of the same test molecules and, where there are "
        "several, of trainings with the same seeds; intervals are 95 % of a bootstrap over "
        "molecules and seeds, each by itself: of twenty "
        "orderings that are not there one would be told shown or opposite.",
        "With one seed the interval does not know how another training would have done.",
        *notes,
        "Published differences are of other data (validation where no test was published).",
    ]
    unit = unit_of(path for seeds in runs.values() for path in seeds.values())
    columns = COLUMNS | {"difference": f"{COLUMNS['difference']} ({unit})"}
    title = "Orderings that the method predicts"
    return Table("orderings", title, "Prediction", columns, rows, known, notes)


def _row(terms: Sequence[tuple[float, str]], runs: _Runs) -> dict[str, Cell]:
    """Return the cells of a sum of weights times test MAEs, predicted to be positive."""
    lacking = [told for _, told in terms if told not in runs]
    if lacking:
        reason = f"{NOT_IN_THIS_RUN}: {', '.join(lacking)}"
        return {column: Cell(None, reason=reason) for column in COLUMNS}
    own = {told: runs[told] for _, told in terms}
    errors = common_errors(own, "test")
    found = None if errors is None else contrast([(w, errors[told]) for w, told in terms])
    if errors is None or found is None:
        reason = "no predictions with names of molecules, or no seed in common"
        return {column: Cell(None, reason=reason) for column in COLUMNS}
    first = next(iter(own[terms[0][1]].values())).with_name("predictions.npz")
    larger = np.mean([values.mean() for values in errors[terms[0][1]].values()])
    return {
        "difference": Cell(found.mean, first, interval=(found.low, found.high)),
        "relative": Cell(100 * found.mean / float(larger), first),
        "seeds": Cell(found.seeds, first),
        "molecules": Cell(found.molecules, first),
        "verdict": Cell(verdict(found), first),
    }


def _most_at_small_size(runs: _Runs, split: str, sizes: list[int]) -> dict[str, dict[str, Cell]]:
    """Return Force2Prop's gain at each size, and its gain at the least less that at the most."""
    gains = {
        size: [(1.0, size_row(split, True, size)), (-1.0, size_row(split, False, size))]
        for size in sizes
    }
    rows = {
        f"Force2Prop improves on training from scratch, {size} molecules": _row(terms, runs)
        for size, terms in gains.items()
    }
    if len(sizes) > 1:
        least, most = gains[sizes[0]], gains[sizes[-1]]
        opposite = [(-weight, told) for weight, told in most]
        rows[f"Force2Prop gains more with {sizes[0]} than with {sizes[-1]} molecules"] = _row(
            [*least, *opposite], runs
        )
    return rows


def _optimum(runs: _Runs, values: list[float]) -> tuple[dict[str, dict[str, Cell]], list[str]]:
    """Return what the best noise between the least and the most gains over these two.

    The best is chosen on validation, so that its test errors are those of any other.
    """
    present = [value for value in values if noise_row(value) in runs]
    if len(present) < 3:
        reason = f"{NOT_IN_THIS_RUN}: three values of property.sweeps.noise"
        row = {column: Cell(None, reason=reason) for column in COLUMNS}
        return {"Noise has an optimum between the least and the most": row}, []

    def validation(value: float) -> float:
        paths = runs[noise_row(value)].values()
        return float(np.mean([read_json(path)["val"]["property_mae"] for path in paths]))

    best = min(present[1:-1], key=validation)
    note = f"Noise {best:g} Å is the best in validation of those between the least and the most."
    return {
        f"Noise has an optimum: {best:g} Å improves on {end:g} Å": _row(
            [(1.0, noise_row(end)), (-1.0, noise_row(best))], runs
        )
        for end in (present[0], present[-1])
    }, [note]
