"""JSON schemas of settings classes, descriptions and defaults included."""

from __future__ import annotations

import dataclasses
import typing
from dataclasses import MISSING, fields
from typing import Annotated, Any, Literal

from force2geo.settings import LEFT_OUT, hints, members, plain, required

_NAMES = {int: "integer", float: "number", bool: "boolean", str: "string", type(None): "null"}
_NUMBERS = {"minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"}
_OWN = {int: _NUMBERS, float: _NUMBERS, str: {"pattern"}}


def schema(cls: type) -> dict[str, Any]:
    """Return the JSON schema of a settings class; those inside it are definitions (`$defs`)."""
    definitions: dict[str, Any] = {}
    described = _class(cls, definitions)
    return described | ({"$defs": dict(sorted(definitions.items()))} if definitions else {})


def default_of(one: dataclasses.Field[Any]) -> Any:
    """Return the plain default of a field, `MISSING` or `LEFT_OUT` where it has none."""
    if one.default_factory is not MISSING:
        return plain(one.default_factory())
    return one.default if one.default in (MISSING, LEFT_OUT) else plain(one.default)


def _class(cls: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    properties = {}
    for one in fields(cls):
        about = _schema(hints(cls)[one.name], one.metadata["limits"], definitions)
        unit = one.metadata["unit"]
        about["description"] = one.metadata["says"] + (f" ({unit})" if unit else "")
        if default_of(one) not in (MISSING, LEFT_OUT):
            about["default"] = default_of(one)
        properties[one.name] = about
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
        "required": required(cls),
    }


def _schema(kind: Any, bounds: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    origin, inside = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return {}
    if origin is Annotated:
        return _schema(inside[0], bounds | inside[1], definitions)
    if len(members(kind)) > 1:
        return {"anyOf": [_schema(one, bounds, definitions) for one in members(kind)]}
    if origin is Literal:
        return {"enum": list(inside)}
    if origin is tuple:
        return _list(inside, bounds, definitions)
    if origin is dict:
        names = {key: limit for key, limit in bounds.items() if key == "propertyNames"}
        each = {key: limit for key, limit in bounds.items() if key not in names}
        held = _schema(inside[1], each, definitions)
        return {"type": "object", "additionalProperties": held or True} | names
    if dataclasses.is_dataclass(kind):
        name = typing.cast("type[Any]", kind).__name__
        if name not in definitions:
            definitions[name] = {}
            definitions[name] = {"description": (kind.__doc__ or "").split("\n")[0]} | _class(
                kind, definitions
            )
        return {"$ref": f"#/$defs/{name}"}
    own = _OWN.get(kind, set())
    return {"type": _NAMES[kind]} | {key: v for key, v in bounds.items() if key in own}


def _list(
    kinds: tuple[Any, ...], bounds: dict[str, Any], definitions: dict[str, Any]
) -> dict[str, Any]:
    whole = {key: v for key, v in bounds.items() if key in ("minItems", "uniqueItems")}
    each = {key: v for key, v in bounds.items() if key not in whole}
    if kinds[-1] is Ellipsis:
        return {"type": "array", "items": _schema(kinds[0], each, definitions)} | whole
    described = [_schema(kind, each, definitions) for kind in kinds]
    length = {"minItems": len(kinds), "items": False}
    return {"type": "array", "prefixItems": described} | length | whole
