"""Data sets by name: a file in `datasets`, or an entry point of another package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from force2geo.errors import UserError
from force2geo.registered import Registry
from force2geo.settings import read
from force2geo.training_data.dataset import DataSet

if TYPE_CHECKING:
    from pathlib import Path

REGISTRY = Registry("data set", "force2geo.datasets", "DATASET", "force2geo.datasets")
names = REGISTRY.names
# Of an entry of the configuration, what is not the data set's own.
_COMMON = ("from", "as", "seed")


def find(name: str) -> type[DataSet]:
    """Return the class of a data set; `UserError` for an unknown name."""
    found: type[DataSet] = REGISTRY.find(name, DataSet)
    return found


def kind(entry: dict[str, Any]) -> str:
    """Return what an entry is read as: as it says, or else the first that its data set can."""
    data_set = find(entry["from"])
    asked: str = entry.get("as", data_set.kinds[0])
    if asked not in data_set.kinds:
        raise UserError(
            f"data set {entry['from']}: has no {asked}, only {', '.join(data_set.kinds)}"
        )
    return asked


def build(entry: dict[str, Any], paths: dict[str, Path] | None = None) -> DataSet:
    """Return the data set of `{from: NAME, …}`, its other keys being that data set's settings.

    `UserError` names a setting that is missing, unknown or out of bounds.
    """
    data_set = find(entry["from"])
    kind(entry)
    values = {key: value for key, value in entry.items() if key not in _COMMON}
    data = data_set(read(data_set.Settings, values, f"data set {entry['from']}"), paths)
    data.seed = entry.get("seed", data.seed)
    return data
