"""The rows of table 3: what became of the same molecules by each potential, finished or not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from force2geo.evaluate.basins import with_basins
from force2geo.evaluate.geometry import common, read_molecules
from force2geo.evaluate.measures import measures
from force2geo.files import reading
from force2geo.plan.finishes import FINISHED, FINISHING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from force2geo.evaluate.measures import Measure


@dataclass
class Row:
    """A row: its file, all its molecules, and those (M,) that every row could judge.

    `ends` are what DFT's finishing says of these where the row is finished, `measures` their
    numbers by column.
    """

    source: Path
    whole: pd.DataFrame
    molecules: pd.DataFrame
    ends: pd.DataFrame | None
    measures: dict[str, Measure]


def read_rows(files: Mapping[str, Path]) -> dict[str, Row]:
    """Return the rows of files by label, a row's own name or that with `FINISHING` before it."""
    finishing = {
        label.removeprefix(FINISHING): _read_ends(path)
        for label, path in files.items()
        if label.startswith(FINISHING)
    }
    judged = {
        row: (read_molecules(path), path)
        for row, path in files.items()
        if not row.startswith(FINISHING)
    }
    return rows_of(judged, finishing)


def rows_of(
    judged: Mapping[str, tuple[pd.DataFrame, Path]], finishing: Mapping[str, pd.DataFrame]
) -> dict[str, Row]:
    """Return the rows of molecules and their files, and of tables of finishing, by name.

    A row that DFT went on from, and the one it came to, know their basins' minima.
    """
    shared = common({row: molecules for row, (molecules, _) in judged.items()})
    rows = {}
    for row, molecules in shared.items():
        whole, source = judged[row]
        ends, to = None, row if row in finishing else row + FINISHED
        if to in finishing:
            found = finishing[to].set_index("cid").loc[molecules["cid"]].reset_index()
            molecules = with_basins(molecules, shared[to], found["status"])
            ends = found if to == row else None
        if ends is not None:
            molecules = molecules.assign(gradients=_asked(ends))
        rows[row] = Row(source, whole, molecules, ends, measures(molecules))
    return rows


def _read_ends(path: Path) -> pd.DataFrame:
    with reading(path, "finished molecules, CSV"):
        table = pd.read_csv(path, dtype={"cid": str, "status": str, "reason": str})
        table[["cid", "status", "reason", "gradients"]]  # a `KeyError` where it has others
    return table


def _asked(ends: pd.DataFrame) -> np.ndarray:
    """Return the gradients (M,) of each molecule, NaN of one that DFT was not asked about."""
    from force2geo.dft.finish_set import NOT_BEGUN

    return np.where(ends["status"] == NOT_BEGUN, np.nan, ends["gradients"])
