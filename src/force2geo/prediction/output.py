"""Predictions as a table or as an SDF, row by row as they come."""

from __future__ import annotations

import contextlib
import csv
import math
import sys
from typing import TYPE_CHECKING, Any, Protocol

from force2geo import __version__
from force2geo.errors import UserError
from force2geo.files import atomic_path

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import TextIO

    from force2geo.prediction.ensemble import Ensemble
    from force2geo.prediction.predict import Prediction

SUFFIXES = (".csv", ".sdf")
OURS = "predicted_by"
"""The property by which an SDF written here is known."""


class Writer(Protocol):
    """What takes one row after the other."""

    def write(self, row: Prediction) -> None:
        """Write a row."""


def columns(ensemble: Ensemble) -> list[str]:
    """Return the names of a table's columns, each property's with its unit."""
    names = ["molecule", "name", "smiles"]
    for target, unit in ensemble.units.items():
        names.append(_named(target, unit))
        if len(ensemble.of[target]) > 1:
            names.append(_named(f"{target} spread", unit))
    return [*names, "applicability", "reason", "distance", "status"]


def cells(row: Prediction, ensemble: Ensemble) -> dict[str, str]:
    """Return a row's texts by column, empty where there is no number."""
    found = {"molecule": str(row.place), "name": row.name, "smiles": row.smiles}
    for target, unit in ensemble.units.items():
        found[_named(target, unit)] = _number(row.values.get(target), 8)
        found[_named(f"{target} spread", unit)] = _number(row.spreads.get(target), 3)
    found |= {
        "applicability": row.applicability,
        "reason": row.reason,
        "distance": _number(row.distance, 3),
        "status": row.status,
    }
    return {name: found[name] for name in columns(ensemble)}


def _named(target: str, unit: str) -> str:
    return f"{target} ({unit})" if unit else target


def _number(value: float | None, digits: int) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.{digits}g}"


def check(path: Path | None) -> None:
    """Raise `UserError` for a file that cannot be written here."""
    if path is not None and path.suffix.lower() not in SUFFIXES:
        raise UserError(f"--out {path}: give one of {', '.join(SUFFIXES)}")


@contextlib.contextmanager
def writer(path: Path | None, ensemble: Ensemble) -> Iterator[Writer]:
    """Give what writes rows to a file, which appears when all are there, or to the terminal."""
    check(path)
    if path is None:
        yield _Table(sys.stdout, ensemble)
        return
    with atomic_path(path) as part:
        if path.suffix.lower() == ".sdf":
            with _sdf(part, ensemble) as records:
                yield records
            return
        with part.open("w", newline="", encoding="utf-8", errors="backslashreplace") as handle:
            yield _Table(handle, ensemble)


class _Table:
    """Rows as CSV."""

    def __init__(self, handle: TextIO, ensemble: Ensemble) -> None:
        self.ensemble = ensemble
        self._rows = csv.DictWriter(handle, columns(ensemble), lineterminator="\n")
        self._rows.writeheader()

    def write(self, row: Prediction) -> None:
        """Write a row."""
        self._rows.writerow(cells(row, self.ensemble))


@contextlib.contextmanager
def _sdf(path: Path, ensemble: Ensemble) -> Iterator[Writer]:
    from rdkit import Chem

    with Chem.SDWriter(str(path)) as records:
        records.SetKekulize(False)
        yield _Records(records, ensemble)


class _Records:
    """Rows as molecules where they were predicted; one that could not be read has no atoms."""

    def __init__(self, records: Any, ensemble: Ensemble) -> None:
        self.records, self.ensemble = records, ensemble
        self._told: set[str] = set()

    def write(self, row: Prediction) -> None:
        """Write a row."""
        from rdkit import Chem

        from force2geo.relax import sdf

        notes = {name: text for name, text in cells(row, self.ensemble).items() if text}
        notes |= {OURS: f"force2geo {__version__}"}
        if row.structure is None:
            empty = Chem.Mol()
            empty.SetProp("_Name", row.name)
            for name, text in notes.items():
                empty.SetProp(name, sdf.plain(text))
            self.records.write(empty)
            return
        aside = set(row.structure.set_aside([*cells(row, self.ensemble), OURS], OURS))
        for name in sorted(aside - self._told):
            print(f"its own '{name}' is kept as 'input_{name}'", file=sys.stderr)
        self._told |= aside
        self.records.write(sdf.record(row.structure, notes))
