"""Backbones by name: a file in `potentials/backbones`, or an entry point of another package.

Nothing is imported before it is asked for, so that a network whose package is not installed is in
nobody's way.
"""

from __future__ import annotations

import importlib
import pkgutil
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from force2geo.errors import UserError
from force2geo.potentials import backbones, unimported
from force2geo.potentials.backbone import Backbone, Statistics
from force2geo.settings import read

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "force2geo.backbones"
_OWN = backbones.__name__
# Before a network was a name of its own, the published PaiNN was a variant of another.
_VARIANTS = {("painn", "published"): "painn_published"}


def _registered() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def names() -> list[str]:
    """Return the names of all backbones, installed or not; of two of one name ours counts."""
    own = {info.name for info in pkgutil.iter_modules(backbones.__path__)}
    return sorted(own | set(_registered()))


def find(name: str) -> type[Backbone]:
    """Return the class of a backbone.

    `UserError` for an unknown name, and with the extra to install where its package is missing.
    """
    if name not in names():
        raise UserError(f"backbone: unknown name '{name}', choose one of {', '.join(names())}")
    own = any(info.name == name for info in pkgutil.iter_modules(backbones.__path__))
    try:
        if own:
            found = importlib.import_module(f"{_OWN}.{name}").BACKBONE
        else:
            found = _registered()[name].load()
    except ImportError as error:
        extra = unimported.about(name).get("extra") or name
        raise UserError(
            f"backbone {name}: {error}; `pip install 'force2geo[{extra}]'` installs what it needs"
        ) from error
    if not (isinstance(found, type) and issubclass(found, Backbone)):
        raise UserError(f"backbone {name}: {found!r} is no subclass of Backbone")
    return found


def named(settings: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the name and the rest of `{name, …}`; `UserError` without a name.

    Settings of before there were more networks, `{name: painn, variant: published}`, are known.
    """
    values = dict(settings)
    name, variant = values.pop("name", None), values.pop("variant", "smooth")
    if not isinstance(name, str):
        raise UserError(f"backbone: unknown name '{name}', choose one of {', '.join(names())}")
    if variant != "smooth":
        if (name, variant) not in _VARIANTS:
            known = ["smooth", *(one for own, one in _VARIANTS if own == name)]
            raise UserError(
                f"backbone {name}: unknown variant '{variant}', choose one of {', '.join(known)}"
            )
        name = _VARIANTS[name, variant]
    return name, values


def check(settings: dict[str, Any]) -> None:
    """Raise `UserError` where `{name, …}` is no backbone's settings."""
    name, values = named(settings)
    read(find(name).Settings, values, f"backbone {name}")


def build_backbone(settings: dict[str, Any], statistics: Statistics | None = None) -> Backbone:
    """Return the backbone of `{name, …}`, its other keys being the settings of that backbone.

    `UserError` names a setting that is missing, that this backbone does not take, or that is out
    of bounds.
    """
    name, values = named(settings)
    backbone = find(name)
    return backbone(read(backbone.Settings, values, f"backbone {name}"), statistics or Statistics())
