"""Settings of calculators."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from force2geo.settings import setting


@dataclass(frozen=True)
class ByCalculator:
    """Any ASE calculator."""

    calculator: str = setting("what makes it, MODULE:NAME", matches=r"^[\w.]+:\w+$")
    options: dict[str, Any] = setting("what it is called with", {})
