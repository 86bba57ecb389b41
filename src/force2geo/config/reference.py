"""The configuration's schema and its reference page, written from its classes."""

from __future__ import annotations

import dataclasses
import json
import typing
from dataclasses import MISSING, fields
from typing import Annotated, Any, Literal

from force2geo.config.whole import Config
from force2geo.settings import LEFT_OUT, hints, members
from force2geo.settings_schema import default_of, schema

_HEAD = """# Configuration

A run's configuration is one YAML file: `config.yaml`, the demo, or the one given by `--configfile`,
which stands alone. Of several files given, each one's values go on top of those before it.
`force2geo config FILE` prints a configuration with all its defaults, checked.

A section that says so may be left out (or be null): the run then has no such jobs. Keys without a
default must be given. This page and `workflow/schemas/config.schema.json` are written from the
classes in `src/force2geo/config` by `make reference`.
"""
_COLUMNS = ("Key", "Type", "Unit", "Default", "Meaning")
_SIGNS = {
    "minimum": "≥",
    "exclusiveMinimum": ">",
    "maximum": "≤",
    "exclusiveMaximum": "<",
}
_SCALARS = {int: "whole number", float: "number", bool: "true or false", str: "text"}


def schema_text() -> str:
    """Return the configuration's JSON schema as the text of its file."""
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "force2geo configuration",
    }
    return json.dumps(head | schema(Config), indent=1, ensure_ascii=False) + "\n"


def reference() -> str:
    """Return the page of every key, its type, unit, default and meaning, as Markdown."""
    kinds, parts = hints(Config), dict[str, Any]()
    sections = {one.name: _class_in(kinds[one.name]) for one in fields(Config)}
    alone = [one for one in fields(Config) if sections[one.name] is None]
    pages = [_HEAD, "## Top level\n", _table(alone, kinds, parts)]
    for one in fields(Config):
        cls = sections[one.name]
        if cls is None:
            continue
        absent = " May be left out." if type(None) in members(kinds[one.name]) else ""
        pages += [f"## {one.name}\n", f"{_says(cls)}{absent}\n"]
        pages.append(_table(fields(cls), hints(cls), parts))
    pages.append("## Parts of sections\n")
    seen = set[str]()
    while len(seen) < len(parts):
        name = next(name for name in parts if name not in seen)
        seen.add(name)
        cls = parts[name]
        pages += [f"### {name}\n", f"{_says(cls)}\n", _table(fields(cls), hints(cls), parts)]
    return "\n".join(pages)


def _says(cls: Any) -> str:
    return " ".join((cls.__doc__ or "").split())


def _class_in(kind: Any) -> Any:
    """Return the settings class that a type or its union with null is; None if it is none."""
    found = [one for one in members(kind) if dataclasses.is_dataclass(one)]
    return found[0] if len(found) == 1 else None


def _table(
    shown: typing.Iterable[dataclasses.Field[Any]], kinds: dict[str, Any], parts: dict[str, Any]
) -> str:
    rows = [
        (
            f"`{one.name}`",
            _type(kinds[one.name], one.metadata["limits"], parts),
            one.metadata["unit"],
            _default(one, kinds[one.name]),
            one.metadata["says"],
        )
        for one in shown
    ]
    lines = [_COLUMNS, ("---",) * len(_COLUMNS), *rows]
    return "".join(
        f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in row)} |\n"
        for row in lines
    )


def _type(kind: Any, bounds: dict[str, Any], parts: dict[str, Any]) -> str:
    origin, inside = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return "anything"
    if kind is type(None):
        return "null"
    if origin is Annotated:
        return _type(inside[0], bounds | inside[1], parts)
    if len(members(kind)) > 1:
        return " or ".join(_type(one, bounds, parts) for one in members(kind))
    if origin is Literal:
        return ", ".join("null" if value is None else f"`{value}`" for value in inside)
    if origin is tuple and inside[-1] is Ellipsis:
        return f"list of {_type(inside[0], bounds, parts)}"
    if origin is tuple:
        return f"list: {', '.join(_type(one, bounds, parts) for one in inside)}"
    if kind == dict[str, Any]:
        return "keys with values"
    if origin is dict:
        return f"by name: {_type(inside[1], bounds, parts)}"
    if dataclasses.is_dataclass(kind):
        name = typing.cast("type[Any]", kind).__name__
        parts.setdefault(name, kind)
        return f"[{name}](#{name.lower()})"
    signs = " ".join(f"{_SIGNS[key]} {v:g}" for key, v in bounds.items() if key in _SIGNS)
    return f"{_SCALARS[kind]} {signs}".strip()


def _default(one: dataclasses.Field[Any], kind: Any) -> str:
    """Return a default; of a class what differs from that class's own."""
    value = default_of(one)
    if value is MISSING:
        return "must be given"
    if value is LEFT_OUT:
        return "left out"
    if isinstance(value, str):
        return f"`{value}`"
    if dataclasses.is_dataclass(one.default):
        usual = {f.name: default_of(f) for f in fields(one.default)}
        value = {key: v for key, v in value.items() if v != usual[key]}
        if not value:
            return "its own"
    return f"`{json.dumps(value, ensure_ascii=False)}`"
