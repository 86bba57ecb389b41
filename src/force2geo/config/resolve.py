"""From what a person writes to a run's configuration, complete and checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from force2geo.config.checks import UNDESCRIBED, cross_check, described
from force2geo.config.whole import Config
from force2geo.errors import UserError
from force2geo.settings import SettingError, parse, plain

if TYPE_CHECKING:
    from force2geo.training_data.dataset import DataSet


class Resolved(dict[str, Any]):
    """A configuration with every default; a section that the run does not have is not there."""

    def __missing__(self, key: str) -> Any:
        raise UserError(f"the configuration has no section '{key}'")


def resolve(values: dict[str, Any], models: bool = True) -> Resolved:
    """Return a configuration as plain values; `UserError`, one line, names a key that is wrong.

    With `models` backbones' settings are checked, too; they are imported for it, which takes
    seconds.
    """
    try:
        config = parse(Config, values)
    except SettingError as wrong:
        where = ".".join(wrong.path)
        if wrong.known:
            known = ", ".join(sorted(wrong.known))
            raise UserError(f"config: unknown key '{where}'; known here: {known}") from None
        raise UserError(f"config: {where or 'top level'}: {wrong.says}") from None
    found = {key: value for key, value in plain(config).items() if value is not None}
    _choose_molecules(found)
    resolved = Resolved(found)
    cross_check(resolved, models)
    return resolved


def _choose_molecules(config: dict[str, Any]) -> None:
    """Have property models learn from the first of several entries that is there.

    Of those that are not, the run knows nothing more.
    """
    asked = config.get("property", {}).get("data")
    if not isinstance(asked, list | tuple):
        return
    for name in asked:
        if name not in config["data"]:
            raise UserError(f"config: property.data: '{name}' {UNDESCRIBED}")
    there = {name: _is_there(described(name, config["data"][name])) for name in asked}
    chosen = next((name for name in asked if there[name]), None)
    if chosen is None:
        raise UserError(f"config: property.data: none of {', '.join(asked)} is there")
    kept = {name: one for name, one in config["data"].items() if there.get(name, True)}
    config |= {"data": kept, "property": config["property"] | {"data": chosen}}


def _is_there(data: DataSet) -> bool:
    try:
        return all((data.folder() / file.path).exists() for file in data.files())
    except UserError:  # its package is not installed
        return False
