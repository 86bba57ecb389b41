"""Which property models the rows and values of a table ask for, of those that a run trains."""

from __future__ import annotations

from typing import Any

from force2geo.plan.trainings import path, swept_name

BETWEEN = ": "
"""Between the split and the row of a label."""


def by_row(config: dict[str, Any], recipes: dict[str, str]) -> dict[str, Any]:
    """Return the metrics and predictions of a table's rows on each split, `split: row`.

    Predictions stand beside metrics, which a table names; both are its inputs.
    """
    section = config["property"]
    files = {}
    for split in section["splits"]:
        for row, recipe in recipes.items():
            if recipe in section["recipes"]:
                name = f"property.{split}.{recipe}"
                files[f"{split}{BETWEEN}{row}"] = path(config, name, "metrics.json")
                files[f"{split}{BETWEEN}{row}, predictions"] = path(config, name, "predictions.npz")
    return {"files": files}


def by_value(config: dict[str, Any], key: str) -> dict[str, Any]:
    """Return the metrics of the trainings that vary a setting, by its value."""
    values = config["property"]["sweeps"].get(key, [])
    return {
        "files": {
            str(value): path(config, swept_name(key, value), "metrics.json") for value in values
        }
    }
