"""Models: a backbone with its heads."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from force2geo.errors import UserError
from force2geo.potentials.backbone import Statistics
from force2geo.potentials.backbones.painn_published import PublishedPaiNN
from force2geo.potentials.batch import for_autograd
from force2geo.potentials.graph import Graph
from force2geo.potentials.heads import DisplacementHead, EnergyHead, PropertyHead
from force2geo.potentials.published import PublishedDisplacementHead
from force2geo.potentials.registry import build_backbone

if TYPE_CHECKING:
    from force2geo.potentials.batch import Batch


def _config(kind: str, backbone: dict[str, Any], statistics: Statistics | None) -> dict[str, Any]:
    """Return what a checkpoint keeps of how a model was built."""
    config: dict[str, Any] = {"kind": kind, "backbone": dict(backbone)}
    if statistics is not None:
        plain = asdict(statistics)
        config["statistics"] = plain | {"elements": list(statistics.elements)}
    return config


class Potential(nn.Module):
    """Energy and forces, which are the energy's slope unless the backbone predicts them itself."""

    kind = "potential"
    # What `forward` gives a row of for each molecule, and for each atom.
    per_molecule, per_atom = ("energy", "binding"), ("forces",)

    def __init__(self, backbone: dict[str, Any], statistics: Statistics | None = None) -> None:
        super().__init__()
        self.config, self.statistics = _config(self.kind, backbone, statistics), statistics
        self.backbone = build_backbone(backbone, statistics)
        if self.backbone.needs_bonds:
            raise UserError(
                f"backbone {self.config['backbone']['name']}: takes molecular graphs and no "
                "geometry, so that it gives properties but no forces"
            )
        self.head = EnergyHead(None if self.backbone.own_readout else self.backbone.width)

    def forward(self, batch: Batch, training: bool = False) -> dict[str, Tensor]:
        """Return `energy` (B,) eV float64, `binding` (B,) eV and `forces` (N,3) eV/Å.

        Forces are the negative gradient of the energy, unless the backbone gives them; with
        `training` they can be differentiated once more.
        """
        make = self._direct if self.backbone.direct_forces else self._conservative
        binding, forces = make(batch, training)
        energy = binding.detach().double() + self.head.reference(batch)
        return {"energy": energy, "binding": binding, "forces": forces}

    def _conservative(self, batch: Batch, training: bool) -> tuple[Tensor, Tensor]:
        """Return energies and their negative slopes."""
        with torch.inference_mode(False), torch.enable_grad():
            batch = for_autograd(batch)
            positions = batch.positions.detach().requires_grad_(True)
            moved = replace(batch, positions=positions)
            features = self.backbone(moved, Graph.of(moved, self.backbone.cutoff))
            binding = self.head.binding(features, moved)
            # A single atom has no edges, so its energy does not depend on where it is.
            (gradient,) = torch.autograd.grad(
                binding.sum(), positions, create_graph=training, materialize_grads=True
            )
        return binding if training else binding.detach(), -gradient

    def _direct(self, batch: Batch, training: bool) -> tuple[Tensor, Tensor]:
        """Return energies and the forces that the backbone gives itself."""
        with torch.set_grad_enabled(training):
            features = self.backbone(batch, Graph.of(batch, self.backbone.cutoff))
            binding = self.head.binding(features, batch)
        assert features.forces is not None
        return binding, features.forces


class PropertyModel(nn.Module):
    """A property of the molecule and, with vectors, the displacement to its true geometry."""

    kind = "property"
    per_molecule, per_atom = ("property",), ("displacement",)

    def __init__(self, backbone: dict[str, Any], statistics: Statistics | None = None) -> None:
        super().__init__()
        self.config, self.statistics = _config(self.kind, backbone, statistics), statistics
        self.backbone = build_backbone(backbone, statistics)
        self.head = PropertyHead(None if self.backbone.own_property else self.backbone.width)
        if self.backbone.vector_width:
            assert self.backbone.width is not None
            published = isinstance(self.backbone, PublishedPaiNN)
            head = PublishedDisplacementHead if published else DisplacementHead
            self.displacement = head(self.backbone.width, self.backbone.vector_width)

    def forward(self, batch: Batch, training: bool = False) -> dict[str, Tensor]:
        """Return `property` (B,) and, with a vector backbone, `displacement` (N,3) Å."""
        with torch.set_grad_enabled(training):
            features = self.backbone(batch, Graph.of(batch, self.backbone.cutoff))
            output = {"property": self.head(features, batch)}
            if features.vectors is not None:
                output["displacement"] = self.displacement(features.scalars, features.vectors)
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
    known = config.get("statistics")
    if known is not None:
        try:
            known = Statistics(**known | {"elements": tuple(known["elements"])})
        except (TypeError, KeyError) as error:
            raise UserError(f"checkpoint: its statistics are none ({error})") from None
    return MODELS[config["kind"]](config["backbone"], known)
