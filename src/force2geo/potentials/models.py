"""Models: a backbone with its heads."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from force2geo.errors import UserError
from force2geo.potentials.batch import for_autograd
from force2geo.potentials.heads import DisplacementHead, EnergyHead, PropertyHead
from force2geo.potentials.published_painn import PublishedDisplacementHead
from force2geo.potentials.registry import build_backbone

if TYPE_CHECKING:
    from force2geo.potentials.batch import Batch


class Potential(nn.Module):
    """Energy and conservative forces."""

    kind = "potential"
    # What `forward` gives a row of for each molecule, and for each atom.
    per_molecule, per_atom = ("energy", "binding"), ("forces",)

    def __init__(self, backbone: dict[str, Any]) -> None:
        super().__init__()
        self.config: dict[str, Any] = {"kind": self.kind, "backbone": dict(backbone)}
        self.backbone = build_backbone(backbone)
        self.head = EnergyHead(backbone["features"])

    def forward(self, batch: Batch, training: bool = False) -> dict[str, Tensor]:
        """Return `energy` (B,) eV float64, `binding` (B,) eV and `forces` (N,3) eV/Å.

        Forces are the negative gradient of the energy; with `training` they can be
        differentiated once more.
        """
        with torch.inference_mode(False), torch.enable_grad():
            batch = for_autograd(batch)
            positions = batch.positions.detach().requires_grad_(True)
            moved = replace(batch, positions=positions)
            scalars, _ = self.backbone(moved)
            binding = self.head.binding(scalars, moved)
            # A single atom has no edges, so its energy does not depend on where it is.
            (gradient,) = torch.autograd.grad(
                binding.sum(), positions, create_graph=training, materialize_grads=True
            )
        if not training:
            binding = binding.detach()
        energy = binding.detach().double() + self.head.reference(batch)
        return {"energy": energy, "binding": binding, "forces": -gradient}


class PropertyModel(nn.Module):
    """A property of the molecule and, with vectors, the displacement to its true geometry."""

    kind = "property"
    per_molecule, per_atom = ("property",), ("displacement",)

    def __init__(self, backbone: dict[str, Any]) -> None:
        super().__init__()
        self.config: dict[str, Any] = {"kind": self.kind, "backbone": dict(backbone)}
        self.backbone = build_backbone(backbone)
        self.head = PropertyHead(backbone["features"])
        published = backbone.get("variant") == "published"
        head = PublishedDisplacementHead if published else DisplacementHead
        self.displacement = head(backbone["features"])

    def forward(self, batch: Batch, training: bool = False) -> dict[str, Tensor]:
        """Return `property` (B,) and, with a vector backbone, `displacement` (N,3) Å."""
        with torch.set_grad_enabled(training):
            scalars, vectors = self.backbone(batch)
            output = {"property": self.head(scalars, batch)}
            if vectors is not None:
                output["displacement"] = self.displacement(scalars, vectors)
        return output


MODELS: dict[str, type[Potential] | type[PropertyModel]] = {
    model.kind: model for model in (Potential, PropertyModel)
}


def build_model(config: dict[str, Any]) -> Potential | PropertyModel:
    """Return the model of a checkpoint's `{kind, backbone}`."""
    if config.get("kind") not in MODELS:
        raise UserError(f"checkpoint: unknown kind of model '{config.get('kind')}'")
    if not isinstance(config.get("backbone"), dict):
        raise UserError("checkpoint: its config names no backbone")
    return MODELS[config["kind"]](config["backbone"])
