"""What a backbone's features are turned into."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from force2geo.elements import MAX_ATOMIC_NUMBER

if TYPE_CHECKING:
    from force2geo.potentials.backbone import Features
    from force2geo.potentials.batch import Batch


def _atomwise(width: int | None) -> nn.Module:
    """Return what makes a number of an atom's features; nothing to do where the network has."""
    if width is None:
        return nn.Identity()
    return nn.Sequential(nn.Linear(width, width // 2), nn.SiLU(), nn.Linear(width // 2, 1))


def _of_atoms(readout: nn.Module, features: Features) -> Tensor:
    """Return (N,) numbers of atoms: those of a readout of its scalars, or the network's own."""
    if isinstance(readout, nn.Identity):
        assert features.atomic_energy is not None
        return features.atomic_energy
    return cast("Tensor", readout(features.scalars)[:, 0])


class EnergyHead(nn.Module):
    """Total energy: atomic contributions on top of fixed energies of the free elements.

    `references` (MAX_ATOMIC_NUMBER+1,) eV float64 are added in float64, so that float32 features
    need to resolve only the energy of binding.
    """

    references: Tensor

    def __init__(self, width: int | None) -> None:
        super().__init__()
        self.atomic = _atomwise(width)
        zeros = torch.zeros(MAX_ATOMIC_NUMBER + 1, dtype=torch.float64)
        self.register_buffer("references", zeros)

    def _apply(self, fn: Any, recurse: bool = True) -> EnergyHead:
        # Weights change their precision, references do not: -1e5 eV has steps of 8 meV in float32.
        exact = self.references
        super()._apply(fn, recurse)
        if self.references.dtype != exact.dtype:
            self.references = exact.to(self.references.device)
        return self

    def binding(self, features: Features, batch: Batch) -> Tensor:
        """Return (B,) energies in eV above the references."""
        atomic = _of_atoms(self.atomic, features)
        return atomic.new_zeros(batch.size).index_add(0, batch.molecule, atomic)

    def reference(self, batch: Batch) -> Tensor:
        """Return (B,) summed reference energies in eV, float64."""
        atomic = self.references[batch.atomic_numbers]
        return atomic.new_zeros(batch.size).index_add(0, batch.molecule, atomic)


class PropertyHead(nn.Module):
    """A molecular property: mean over atoms, scaled by the training set's mean and deviation."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, width: int | None) -> None:
        super().__init__()
        self.atomic = _atomwise(width)
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("deviation", torch.ones(()))

    def forward(self, features: Features, batch: Batch) -> Tensor:
        """Return (B,) values in the property's unit."""
        atomic = _of_atoms(self.atomic, features)
        total = atomic.new_zeros(batch.size).index_add(0, batch.molecule, atomic)
        return self.mean + self.deviation * total / batch.atoms_per_molecule


class DisplacementHead(nn.Module):
    """A vector per atom, equivariant: a gated combination of the backbone's vectors."""

    def __init__(self, width: int, vector_width: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.Linear(width, width), nn.SiLU(), nn.Linear(width, vector_width)
        )
        self.combine = nn.Linear(vector_width, 1, bias=False)

    def forward(self, scalars: Tensor, vectors: Tensor) -> Tensor:
        """Return (N,3) displacements in Å."""
        gated = self.gate(scalars)[:, None, :] * vectors
        return cast("Tensor", self.combine(gated)[:, :, 0])
