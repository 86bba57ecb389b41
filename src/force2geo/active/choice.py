"""A choice of geometries to label, as a CSV file: `cid,frame,spread,rank`.

`frame` is the geometry's number among its molecule's, from 0; `spread` (eV/Å) how far the members
of a committee disagree, empty where none was asked; `rank` its place in the choice, from 1.
"""

from __future__ import annotations

import csv
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from force2geo.files import reading, write_table

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

COLUMNS = ("cid", "frame", "spread", "rank")


class Chosen(NamedTuple):
    """A geometry that was chosen; `spread` in eV/Å, NaN where no committee was asked."""

    cid: str
    frame: int
    spread: float = math.nan


def row_of(one: Chosen, rank: int) -> dict[str, Any]:
    """Return a geometry's row in a choice."""
    spread = "" if math.isnan(one.spread) else f"{one.spread:.9g}"
    return {"cid": one.cid, "frame": one.frame, "spread": spread, "rank": rank}


def write_choice(path: Path, chosen: Iterable[Chosen]) -> None:
    """Write a choice, in the order of its ranks, whole or not at all."""
    write_table(path, COLUMNS, (row_of(one, rank) for rank, one in enumerate(chosen, 1)))


def read_choice(path: Path) -> list[Chosen]:
    """Return a choice, in the order of its ranks; `UserError` where the file holds none."""
    with reading(path, "a choice, CSV"), path.open(newline="", encoding="utf-8") as handle:
        return [
            Chosen(row["cid"], int(row["frame"]), float(row["spread"] or "nan"))
            for row in csv.DictReader(handle)
        ]


def frame_numbers(cids: np.ndarray) -> np.ndarray:
    """Return each geometry's number (S,) among its molecule's, in the order they come."""
    order = np.argsort(cids, kind="stable")
    _, starts, counts = np.unique(cids[order], return_index=True, return_counts=True)
    numbers = np.empty(len(cids), dtype=np.int64)
    numbers[order] = np.arange(len(cids)) - np.repeat(starts, counts)
    return numbers
