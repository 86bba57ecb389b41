"""Backbones by name: a file in `potentials/backbones`, or an entry point of another package.

Nothing is imported before it is asked for, so that a network whose package is not installed is in
nobody's way.
"""

from __future__ import annotations

from typing import Any

from force2geo.errors import UserError
from force2geo.potentials import unimported
from force2geo.potentials.backbone import Backbone, Statistics
from force2geo.registered import Registry
from force2geo.settings import read

REGISTRY = Registry(
    "backbone",
    "force2geo.potentials.backbones",
    "BACKBONE",
    "force2geo.backbones",
    lambda name: unimported.about(name).get("extra") or name,
)
names = REGISTRY.names
# Before a network was a name of its own, the published PaiNN was a variant of another.
_VARIANTS = {("painn", "published"): "painn_published"}


def find(name: str) -> type[Backbone]:
    """Return the class of a backbone.

    `UserError` for an unknown name, and with the extra to install where its package is missing.
    """
    found: type[Backbone] = REGISTRY.find(name, Backbone)
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


def settings_of(settings: dict[str, Any]) -> Any:
    """Return `{name, …}` as a backbone's own settings; `UserError` where they are none."""
    name, values = named(settings)
    return read(find(name).Settings, values, f"backbone {name}")


def check(settings: dict[str, Any]) -> None:
    """Raise `UserError` where `{name, …}` is no backbone's settings."""
    settings_of(settings)


def build_backbone(settings: dict[str, Any], statistics: Statistics | None = None) -> Backbone:
    """Return the backbone of `{name, …}`, its other keys being the settings of that backbone.

    `UserError` names a setting that is missing, that this backbone does not take, or that is out
    of bounds.
    """
    name, values = named(settings)
    backbone = find(name)
    return backbone(read(backbone.Settings, values, f"backbone {name}"), statistics or Statistics())
