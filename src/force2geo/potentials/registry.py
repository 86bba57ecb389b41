"""Backbones by name; a new one is its file and one line here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from force2geo.errors import UserError
from force2geo.potentials.painn import PaiNN
from force2geo.potentials.schnet import SchNet

if TYPE_CHECKING:
    from torch import nn

BACKBONES: dict[str, type[nn.Module]] = {"painn": PaiNN, "schnet": SchNet}


def build_backbone(settings: dict[str, Any]) -> nn.Module:
    """Return the backbone of `{name, layers, features, basis_size, cutoff}`."""
    values = dict(settings)
    name = values.pop("name")
    if name not in BACKBONES:
        raise UserError(f"backbone: unknown name '{name}', choose one of {', '.join(BACKBONES)}")
    return BACKBONES[name](**values)
