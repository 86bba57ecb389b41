"""Settings as typed classes: defaults, checks and a JSON schema, said once.

A settings class is a frozen dataclass whose fields are made by `setting`. Values come from YAML or
from a checkpoint as plain dicts and are read by `read`, which knows every mistake a person makes:
an unknown key, a missing one, a text for a number, a number out of bounds. A field's type is
`int`, `float`, `bool`, `str`, `Literal`, `Any`, another settings class, `tuple[X, ...]` or
`tuple[X, Y]` (lists), `dict[str, X]` (by name), or a union of these. Of settings classes in a union
that one is meant whose `name`, a `Literal`, is given, or whose keys are.
"""

from __future__ import annotations

import dataclasses
import math
import re
import types
import typing
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import MISSING, field, fields
from functools import lru_cache
from typing import Annotated, Any, Literal, TypeVar, Union

from force2geo.errors import UserError

Kind = TypeVar("Kind")


class _LeftOut:
    """The value of a key that is not there where nobody gives it."""

    def __repr__(self) -> str:
        return "LEFT_OUT"

    def __deepcopy__(self, memo: dict[int, Any]) -> _LeftOut:
        return self


LEFT_OUT: Any = _LeftOut()
"""Default of a key that is in the plain values only where it is given."""


class SettingError(UserError):
    """A wrong value, missing or unknown key: where it stands, what is said, what is `known`."""

    def __init__(self, path: tuple[str, ...], says: str, known: tuple[str, ...] = ()) -> None:
        super().__init__(f"{'.'.join(path)}: {says}")
        self.path, self.says, self.known = path, says, known


def limits(
    *,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    below: float | None = None,
    matches: str | None = None,
    fewest: int | None = None,
    distinct: bool | None = None,
    names: str | None = None,
) -> dict[str, Any]:
    """Return limits as the keywords of a JSON schema; also to annotate a type inside another.

    Numbers are at least `least`, more than `above`, at most `most`, less than `below`; texts match
    a pattern; lists have at least `fewest` members, `distinct` ones; names in a dict match `names`.
    """
    given = {
        "minimum": least,
        "exclusiveMinimum": above,
        "maximum": most,
        "exclusiveMaximum": below,
        "pattern": matches,
        "minItems": fewest,
        "uniqueItems": distinct,
        "propertyNames": None if names is None else {"pattern": names},
    }
    return {key: value for key, value in given.items() if value is not None}


def setting(says: str, default: Any = MISSING, *, unit: str = "", **bounds: Any) -> Any:
    """Return a dataclass field that `says` in a few words what it is, in a `unit`.

    `bounds` are those of `limits`; a tuple's are its members', too. Without a `default` a value
    must be given.
    """
    about = {"says": says, "unit": unit, "limits": limits(**bounds)}
    if isinstance(default, dict):
        return field(default_factory=lambda: deepcopy(default), kw_only=True, metadata=about)
    return field(default=default, kw_only=True, metadata=about)


def hints(cls: Any) -> dict[str, Any]:
    """Return the types of a settings class's fields, annotations included."""
    return _hints(cls)


@lru_cache
def _hints(cls: Any) -> dict[str, Any]:
    return typing.get_type_hints(cls, include_extras=True)


def required(cls: Any) -> list[str]:
    """Return the keys of a settings class that must be given."""
    return [
        one.name for one in fields(cls) if one.default is MISSING and one.default_factory is MISSING
    ]


def read(cls: type[Kind], values: Mapping[str, Any], where: str) -> Kind:
    """Return `values` as settings of a class; `UserError` names, after `where`, a wrong key."""
    try:
        return parse(cls, values)
    except SettingError as wrong:
        *above, key = wrong.path
        if wrong.known:
            inside = "".join(f" '{'.'.join(above)}':" for _ in above[:1])
            text = f"{where}:{inside} it takes no '{key}', only {', '.join(wrong.known)}"
        else:
            text = f"{where}: '{'.'.join(wrong.path)}' is {wrong.says}"
        raise UserError(text) from None


def parse(cls: type[Kind], values: Mapping[str, Any], path: tuple[str, ...] = ()) -> Kind:
    """Return `values`, which stand at `path`, as settings of a class; `SettingError` if not."""
    if not isinstance(values, Mapping):
        raise SettingError(path, f"{_shown(values)}, not keys with values")
    known = {one.name: one for one in fields(cls)}  # type: ignore[arg-type]
    for key in values:
        if key not in known:
            raise SettingError((*path, str(key)), "unknown", tuple(known))
    for key in required(cls):
        if key not in values:
            raise SettingError((*path, key), "missing")
    kinds = hints(cls)
    return cls(
        **{
            key: _value(kinds[key], value, known[key].metadata["limits"], (*path, key))
            for key, value in values.items()
        }
    )


def members(kind: Any) -> tuple[Any, ...]:
    """Return the types of a union, of another type itself."""
    return typing.get_args(kind) if typing.get_origin(kind) in (Union, types.UnionType) else (kind,)


def _value(kind: Any, value: Any, bounds: dict[str, Any], path: tuple[str, ...]) -> Any:
    """Return a value as its type says; `SettingError` where it is none of that type."""
    origin, inside = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return value
    if origin is Annotated:
        return _value(inside[0], value, bounds | inside[1], path)
    if len(members(kind)) > 1:
        return _one_of(members(kind), value, bounds, path)
    if origin is Literal:
        if value not in inside or isinstance(value, bool):
            raise SettingError(path, f"{_shown(value)}, not one of {_listed(inside)}")
        return value
    if origin is tuple:
        return _list(inside, value, bounds, path)
    if origin is dict:
        return _by_name(inside[1], value, bounds, path)
    if dataclasses.is_dataclass(kind):
        return parse(typing.cast("type[Any]", kind), value, path)
    if kind is float and _is_number(value):
        value = float(value)
    elif kind is float or type(value) is not kind:
        said = f"{_described(kind, bounds)}{_hint(kind, value)}"
        raise SettingError(path, f"{_shown(value)}, not {said}")
    if kind in (int, float) and not _within(value, bounds):
        raise SettingError(path, f"{_shown(value)}, not {_described(kind, bounds)}")
    if kind is str and not re.search(bounds.get("pattern", ""), value):
        raise SettingError(path, f"{_shown(value)} does not match {bounds['pattern']}")
    return value


def _one_of(
    kinds: tuple[Any, ...], value: Any, bounds: dict[str, Any], path: tuple[str, ...]
) -> Any:
    if value is None and type(None) in kinds:
        return None
    kinds = tuple(kind for kind in kinds if kind is not type(None))
    classes = [kind for kind in kinds if dataclasses.is_dataclass(kind)]
    if isinstance(value, Mapping) and len(classes) > 1:
        return parse(_meant(classes, value, path), value, path)
    if len(kinds) == 1:
        return _value(kinds[0], value, bounds, path)
    keyed = [kind for kind in kinds if kind in classes or typing.get_origin(kind) is dict]
    if isinstance(value, Mapping) and keyed:
        return _value(keyed[0], value, bounds, path)
    wrong = SettingError(path, _neither(value, classes))
    for kind in (kind for kind in kinds if kind not in keyed):
        try:
            return _value(kind, value, bounds, path)
        except SettingError as mistake:
            wrong = mistake
    raise wrong


def _meant(classes: list[Any], value: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    """Return which of several classes given keys are of."""
    tags = [_tags(cls) for cls in classes]
    if all(tags):
        if "name" not in value:
            raise SettingError((*path, "name"), f"missing, one of {_listed(sum(tags, ()))}")
        for cls, own in zip(classes, tags, strict=True):
            if value["name"] in own:
                return cls
        named = f"{_shown(value['name'])}, not one of {_listed(sum(tags, ()))}"
        raise SettingError((*path, "name"), named)
    known = {one.name: None for cls in classes for one in fields(cls)}
    for key in value:
        if key not in known:
            raise SettingError((*path, str(key)), "unknown", tuple(known))
    for cls in classes:
        if set(required(cls)) <= set(value) <= {one.name for one in fields(cls)}:
            return cls
    raise SettingError(path, _neither(value, classes))


def _neither(value: Any, classes: list[Any]) -> str:
    """Say what a value, which is none of several classes', could have been."""
    given = ", ".join(value) or "nothing" if isinstance(value, Mapping) else _shown(value)
    return f"{given}, not one of: {'; '.join(map(_asked, classes))}"


def _tags(cls: Any) -> tuple[Any, ...]:
    """Return the names by which a class of a union is known."""
    kind = hints(cls).get("name")
    return typing.get_args(kind) if typing.get_origin(kind) is Literal else ()


def _asked(cls: Any) -> str:
    needed = required(cls)
    more = [one.name for one in fields(cls) if one.name not in needed]
    return " and ".join(needed) + (f" (and {', '.join(more)})" if more else "")


def _list(
    kinds: tuple[Any, ...], value: Any, bounds: dict[str, Any], path: tuple[str, ...]
) -> tuple[Any, ...]:
    """Return a list's members; a tuple of given length has a type for each."""
    if not isinstance(value, (list, tuple)):
        raise SettingError(path, f"{_shown(value)}, not a list")
    whole = {key: bounds.get(key) for key in ("minItems", "uniqueItems")}
    each = {key: limit for key, limit in bounds.items() if key not in whole}
    if kinds[-1] is Ellipsis:
        kinds = kinds[:1] * len(value)
    if len(value) != len(kinds):
        raise SettingError(path, f"{_shown(value)}, not a list of {len(kinds)}")
    if len(value) < (whole["minItems"] or 0):
        raise SettingError(path, f"{_shown(value)}, fewer than {whole['minItems']}")
    found = tuple(
        _value(kind, one, each, (*path, str(place)))
        for place, (kind, one) in enumerate(zip(kinds, value, strict=True))
    )
    if whole["uniqueItems"] and any(one in found[:place] for place, one in enumerate(found)):
        raise SettingError(path, f"{_shown(value)}, one of them twice")
    return found


def _by_name(kind: Any, value: Any, bounds: dict[str, Any], path: tuple[str, ...]) -> Any:
    if not isinstance(value, Mapping):
        raise SettingError(path, f"{_shown(value)}, not names with values")
    pattern = bounds.get("propertyNames", {}).get("pattern", "")
    each = {key: limit for key, limit in bounds.items() if key != "propertyNames"}
    for name in value:
        if not isinstance(name, str) or not re.search(pattern, name):
            raise SettingError((*path, str(name)), f"the name does not match {pattern or 'a text'}")
    return {name: _value(kind, one, each, (*path, name)) for name, one in value.items()}


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _hint(kind: type, value: Any) -> str:
    """Return what helps who wrote a number that YAML takes for a text."""
    try:
        if kind in (int, float) and isinstance(value, str) and math.isfinite(float(value)):
            return " (in YAML, a number in powers of ten has a point: 1.0e-5)"
    except ValueError:
        pass
    return ""


def _within(value: float, bounds: dict[str, Any]) -> bool:
    return (
        value >= bounds.get("minimum", -math.inf)
        and value > bounds.get("exclusiveMinimum", -math.inf)
        and value <= bounds.get("maximum", math.inf)
        and value < bounds.get("exclusiveMaximum", math.inf)
    )


def _shown(value: Any) -> str:
    return " ".join(repr(value).split())[:120]


def _listed(values: tuple[Any, ...]) -> str:
    return ", ".join("null" if value is None else str(value) for value in values)


def _described(kind: type, bounds: dict[str, Any]) -> str:
    what = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}[kind]
    words = {
        "minimum": "of at least",
        "exclusiveMinimum": "above",
        "maximum": "of at most",
        "exclusiveMaximum": "below",
    }
    said = " and ".join(f"{words[key]} {v:g}" for key, v in bounds.items() if key in words)
    return f"{what} {said}".strip()


def plain(settings: Any) -> Any:
    """Return settings as plain values, for a file; keys left out are not there."""
    if dataclasses.is_dataclass(settings):
        held = {one.name: getattr(settings, one.name) for one in fields(settings)}
        return {key: plain(value) for key, value in held.items() if value is not LEFT_OUT}
    if isinstance(settings, (list, tuple)):
        return [plain(one) for one in settings]
    if isinstance(settings, dict):
        return {key: plain(value) for key, value in settings.items()}
    return settings
