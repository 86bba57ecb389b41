"""Distances as features that vanish smoothly at the cutoff."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class GaussianBasis(nn.Module):
    """Gaussians evenly spaced on [0, cutoff], as wide as they are apart (SchNet, eq. 4)."""

    centres: Tensor

    def __init__(self, size: int, cutoff: float) -> None:
        super().__init__()
        self.register_buffer("centres", torch.linspace(0.0, cutoff, size))
        self.coefficient = -0.5 * ((size - 1) / cutoff) ** 2

    def forward(self, distance: Tensor) -> Tensor:
        """Return (E, size) features of (E,) distances in Å."""
        return torch.exp(self.coefficient * (distance[:, None] - self.centres) ** 2)


class CosineEnvelope(nn.Module):
    """Behler's cosine cutoff: 1 at 0, and 0 with zero slope at the cutoff."""

    def __init__(self, cutoff: float) -> None:
        super().__init__()
        self.cutoff = cutoff

    def forward(self, distance: Tensor) -> Tensor:
        """Return (E,) weights of (E,) distances in Å."""
        inside = distance.clamp(max=self.cutoff)
        return 0.5 * (1.0 + torch.cos(torch.pi * inside / self.cutoff))


def edge_vectors(positions: Tensor, receiver: Tensor, sender: Tensor) -> tuple[Tensor, Tensor]:
    """Return distances (E,) Å and unit vectors (E,3) pointing from receiver to sender."""
    vector = positions.index_select(0, sender) - positions.index_select(0, receiver)
    distance = vector.norm(dim=1)
    return distance, vector / distance[:, None]
