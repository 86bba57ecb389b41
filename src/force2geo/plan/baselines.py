"""The baselines that a run's trainings correct: one file for each of each packed file."""

from __future__ import annotations

from typing import Any

from force2geo.calling.named import label
from force2geo.plan.trainings import trainings


def name_of(training: dict[str, Any]) -> str:
    """Return the name of what a training's record corrects, nothing where it corrects none."""
    baseline = training.get("baseline")
    return f"{training['data']}.{label(baseline)}" if baseline else ""


def baselines(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the records of all baselines, `data` and the calculator, by name."""
    corrected = (record for record in trainings(config).values() if record.get("baseline"))
    return {
        name_of(record): {"data": record["data"], "baseline": record["baseline"]}
        for record in corrected
    }
