"""Settings as typed classes: defaults, checks and a JSON schema, said once.

A settings class is a frozen dataclass whose fields are made by `setting`. Values come from YAML or
from a checkpoint as plain dicts and are read by `read`, which knows every mistake a person makes:
an unknown key, a missing one, a text for a number, a number out of bounds.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from dataclasses import MISSING, field, fields
from typing import Any, Literal, TypeVar, Union

from force2geo.errors import UserError

Kind = TypeVar("Kind")
_NAMES = {int: "integer", float: "number", bool: "boolean", str: "string"}


def setting(
    says: str,
    default: Any = MISSING,
    *,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
) -> Any:
    """Return a dataclass field that `says` in a few words, with its unit, what it is.

    Numbers are at least `least`, more than `above`, at most `most`; of a tuple each is. Without a
    `default` a value must be given.
    """
    limits = {"minimum": least, "exclusiveMinimum": above, "maximum": most}
    about = {"says": says, "limits": {k: v for k, v in limits.items() if v is not None}}
    return field(default=default, kw_only=True, metadata=about)


def _types(cls: Any) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def read(cls: type[Kind], values: dict[str, Any], where: str) -> Kind:
    """Return `values` as settings of a class; `UserError` names, after `where`, a wrong key."""
    known = {f.name: f for f in fields(cls)}  # type: ignore[arg-type]
    for key in values:
        if key not in known:
            raise UserError(f"{where}: it takes no '{key}', only {', '.join(known)}")
    for key, one in known.items():
        if key not in values and one.default is MISSING and one.default_factory is MISSING:
            raise UserError(f"{where}: '{key}' is missing")
    read_values = {
        key: _value(_types(cls)[key], value, known[key].metadata["limits"], f"{where}: '{key}'")
        for key, value in values.items()
    }
    return cls(**read_values)


def _value(kind: Any, value: Any, limits: dict[str, float], where: str) -> Any:
    """Return a value as its type says; `UserError` where it is none of that type."""
    origin, inside = typing.get_origin(kind), typing.get_args(kind)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in inside:
            return None
        (kind,) = [one for one in inside if one is not type(None)]
        return _value(kind, value, limits, where)
    if origin is Literal:
        if value not in inside:
            raise UserError(f"{where} is {value!r}, not one of {', '.join(map(str, inside))}")
        return value
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise UserError(f"{where} is {value!r}, not a list")
        return tuple(_value(inside[0], one, limits, where) for one in value)
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind is float and number and math.isfinite(value):
        value = float(value)
    elif kind is float or type(value) is not kind:
        raise UserError(f"{where} is {value!r}, not {_described(kind, limits)}")
    if kind in (int, float) and not _within(value, limits):
        raise UserError(f"{where} is {value!r}, not {_described(kind, limits)}")
    return value


def _within(value: float, limits: dict[str, float]) -> bool:
    return (
        value >= limits.get("minimum", -math.inf)
        and value > limits.get("exclusiveMinimum", -math.inf)
        and value <= limits.get("maximum", math.inf)
    )


def _described(kind: type, limits: dict[str, float]) -> str:
    what = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}[kind]
    words = {"minimum": "of at least", "exclusiveMinimum": "above", "maximum": "of at most"}
    return " ".join([what, " and ".join(f"{words[k]} {v:g}" for k, v in limits.items())]).strip()


def plain(settings: Any) -> dict[str, Any]:
    """Return settings as plain values, for a file."""
    found = dataclasses.asdict(settings)
    return {key: list(v) if isinstance(v, tuple) else v for key, v in found.items()}


def schema(cls: type) -> dict[str, Any]:
    """Return the JSON schema of a settings class, descriptions and defaults included."""
    properties = {}
    for one in fields(cls):
        about = _schema(_types(cls)[one.name], one.metadata["limits"])
        about["description"] = one.metadata["says"]
        if one.default is not MISSING:
            about["default"] = list(one.default) if isinstance(one.default, tuple) else one.default
        properties[one.name] = about
    required = [one.name for one in fields(cls) if one.default is MISSING]
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
        "required": required,
    }


def _schema(kind: Any, limits: dict[str, float]) -> dict[str, Any]:
    origin, inside = typing.get_origin(kind), typing.get_args(kind)
    if origin in (Union, types.UnionType):
        (kind,) = [one for one in inside if one is not type(None)]
        return {"anyOf": [_schema(kind, limits), {"type": "null"}]}
    if origin is Literal:
        return {"enum": list(inside)}
    if origin is tuple:
        return {"type": "array", "items": _schema(inside[0], limits)}
    return {"type": _NAMES[kind], **limits}
