"""Forces as an input of a network: what tells it which structure was shaken."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from force2geo.settings import setting

if TYPE_CHECKING:
    from force2geo.potentials.batch import Batch


def forces_setting() -> bool:
    """Return the setting `forces` of a backbone that has this input."""
    found: bool = setting(
        "whether forces of the structure before noise are an input, to pretrain by DeNS", False
    )
    return found


class GivenForces(nn.Module):
    """What forces that are given add to the first features of atoms; nothing where none are.

    Noise can be told from a minimum's shape, but a structure off the minimum and its shaken image
    are both plausible: the forces of the one that is meant decide (DeNS, Liao et al. 2024,
    arXiv:2403.09549). An atom's force over `scale` (eV/Å) is given as its length, times a learnt
    vector, in the scalars, and as itself, times another, in the vectors, which is what a linear
    layer of its spherical harmonics up to l = 1 does there.
    """

    def __init__(self, features: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.lengths = nn.Parameter(torch.randn(features))
        self.directions = nn.Parameter(torch.randn(features))

    def forward(self, scalars: Tensor, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Return first scalars (N,F) and vectors (N,3,F), None where no forces are given."""
        if batch.given_forces is None:
            return scalars, None
        forces = batch.given_forces.to(scalars) / self.scale
        lengths = forces.norm(dim=1, keepdim=True)
        return scalars + lengths * self.lengths, forces[:, :, None] * self.directions
