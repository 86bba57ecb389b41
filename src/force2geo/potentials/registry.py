"""Backbones by name; a new one is its file and one line here."""

from __future__ import annotations

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


def build_backbone(settings: dict[str, Any]) -> nn.Module:
    """Return the backbone of `{name, variant, layers, features, basis_size, cutoff}`.

    `variant` is `smooth`, the default, or `published`, the published network to the last digit.
    """
    values = dict(settings)
    name, variant = values.pop("name"), values.pop("variant", "smooth")
    if name not in BACKBONES:
        raise UserError(f"backbone: unknown name '{name}', choose one of {', '.join(BACKBONES)}")
    if name not in VARIANTS.get(variant, {}):
        known = ", ".join(key for key, names in VARIANTS.items() if name in names)
        raise UserError(f"backbone {name}: unknown variant '{variant}', choose one of {known}")
    return VARIANTS[variant][name](**values)
