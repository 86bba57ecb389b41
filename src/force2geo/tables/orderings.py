"""What the method predicts about the order of property models, and whether it is so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from force2geo.evaluate.table import Table


def request(config: dict[str, Any]) -> dict[str, Any]:
    """Return the metrics and predictions of the property models that are compared."""
    from force2geo.plan.orderings import request

    return request(config)


def build(asked: dict[str, Any], folder: Path) -> Table:
    """Return the table."""
    from force2geo.evaluate.orderings import orderings_table

    return orderings_table(asked, folder)
