"""How long a training has brought nothing better, and whether that is its end."""

from __future__ import annotations

import math
from typing import Any


def epochs_since_best(history: list[dict[str, float]], monitor: str) -> int:
    """Return how many epochs ago the lowest `monitor`, the first of equals, was met."""
    values = [row[f"val_{monitor}"] for row in history]
    values = [value if math.isfinite(value) else math.inf for value in values]
    return len(values) - 1 - values.index(min(values))


def is_over(history: list[dict[str, float]], monitor: str, settings: dict[str, Any]) -> bool:
    """Say whether all epochs are done, or `early_stop` of them have brought no improvement."""
    patience = settings.get("early_stop")
    stale = patience is not None and epochs_since_best(history, monitor) >= patience
    return stale or len(history) >= int(settings["epochs"])
