"""Objectives by name: a file in `train/objectives`, or an entry point of another package."""

from __future__ import annotations

from typing import Any

from force2geo.errors import UserError
from force2geo.registered import Registry
from force2geo.settings import read
from force2geo.train.objective import Objective

REGISTRY = Registry("objective", "force2geo.train.objectives", "OBJECTIVE", "force2geo.objectives")
names = REGISTRY.names


def find(name: Any) -> type[Objective]:
    """Return the class of an objective; `UserError` for an unknown name."""
    found: type[Objective] = REGISTRY.find(name, Objective)
    return found


def of_record(record: dict[str, Any], where: str) -> Objective:
    """Return the objective that a training's record names, with its settings.

    `UserError` names, after `where`, a name or a setting that is wrong.
    """
    name = record.get("objective")
    try:
        objective = find(name)
        return objective(read(objective.Settings, objective.values(record), f"objective {name}"))
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
