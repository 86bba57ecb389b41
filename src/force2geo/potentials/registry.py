"""Backbones by name; a new one is its file and one line here."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from force2geo.errors import UserError
from force2geo.potentials.painn import PaiNN
from force2geo.potentials.published_painn import PublishedPaiNN
from force2geo.potentials.schnet import SchNet

if TYPE_CHECKING:
    from torch import nn

BACKBONES: dict[str, type[nn.Module]] = {"painn": PaiNN, "schnet": SchNet}
PUBLISHED: dict[str, type[nn.Module]] = {"painn": PublishedPaiNN}
VARIANTS = {"smooth": BACKBONES, "published": PUBLISHED}
# The least that makes a network: two Gaussians have a spacing, heads halve the features.
_LEAST = {"layers": 1, "features": 2, "basis_size": 2}


def build_backbone(settings: dict[str, Any]) -> nn.Module:
    """Return the backbone of `{name, variant, layers, features, basis_size, cutoff}`.

    `variant` is `smooth`, the default, or `published`, the published network to the last digit.
    `UserError` names a setting that is missing, that this backbone does not take, or that is out
    of bounds.
    """
    values = dict(settings)
    name, variant = values.pop("name", None), values.pop("variant", "smooth")
    if name not in BACKBONES:
        raise UserError(f"backbone: unknown name '{name}', choose one of {', '.join(BACKBONES)}")
    if name not in VARIANTS.get(variant, {}):
        known = ", ".join(key for key, names in VARIANTS.items() if name in names)
        raise UserError(f"backbone {name}: unknown variant '{variant}', choose one of {known}")
    backbone = VARIANTS[variant][name]
    takes = inspect.signature(backbone).parameters
    wanting = [key for key, value in takes.items() if value.default is value.empty]
    for key in wanting:
        if key not in values:
            raise UserError(f"backbone {name}: '{key}' is missing")
    for key, value in values.items():
        if key not in takes:
            raise UserError(f"backbone {name}: it takes no '{key}', only {', '.join(takes)}")
        _check(f"backbone {name}: '{key}'", key, value)
    return backbone(**values)


def _check(where: str, key: str, value: Any) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if key in _LEAST and not (number and isinstance(value, int) and value >= _LEAST[key]):
        raise UserError(f"{where} is {value!r}, not a whole number of at least {_LEAST[key]}")
    if key == "cutoff" and not (number and 0 < value < float("inf")):
        raise UserError(f"{where} is {value!r}, not a distance in Å above zero")
