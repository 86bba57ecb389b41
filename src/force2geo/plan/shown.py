"""The tables and figures there are, and what each is made of in a run."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

from force2geo import figures, tables
from force2geo.errors import UserError

KINDS = {"table": tables, "figure": figures}


def names(kind: str) -> list[str]:
    """Return the names of all tables or figures, `kind` being `table` or `figure`."""
    return sorted(info.name for info in pkgutil.iter_modules(KINDS[kind].__path__))


def find(kind: str, name: str) -> Any:
    """Return the module of a table or figure; `UserError` for an unknown name."""
    if name not in names(kind):
        raise UserError(f"{kind} '{name}': there is none, only {', '.join(names(kind))}")
    return importlib.import_module(f"{KINDS[kind].__name__}.{name}")


def request(config: dict[str, Any], kind: str, name: str) -> dict[str, Any]:
    """Return what a table or figure is made of: the settings of its job."""
    asked: dict[str, Any] = find(kind, name).request(config)
    return asked


def inputs(asked: dict[str, Any]) -> list[str]:
    """Return the files that a request names, within the run's folder, each once."""
    return list(dict.fromkeys(asked["files"].values()))
