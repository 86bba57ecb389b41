"""By how much potentials that answer together may differ before their word is none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from force2geo.files import read_json, reading
from force2geo.settings import read, setting

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Spread:
    """The spread of a committee's forces on molecules that it never saw."""

    quantile_95: float = setting("what 95 % of the molecules do not exceed", above=0)
    unit: Literal["eV/Å"] = setting("its unit")
    molecules: int = setting("how many it was measured on", least=1)
    on: str = setting("which molecules these are")


def calibrated(path: Path) -> Spread:
    """Return the spread in a file that `force2geo calibrate` wrote; `UserError` without one."""
    with reading(path, "a calibration of several potentials, JSON"):
        found = read_json(path)["spread"]
    return read(Spread, found, str(path))
