"""From what a person writes to a run's configuration, complete and checked."""

from __future__ import annotations

from typing import Any

from force2geo.config.checks import cross_check
from force2geo.config.whole import Config
from force2geo.errors import UserError
from force2geo.settings import SettingError, parse, plain


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
    resolved = Resolved(found)
    cross_check(resolved, models)
    return resolved
