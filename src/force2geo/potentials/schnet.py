"""SchNet (Schütt et al. 2017, 2018): continuous-filter convolutions of scalars."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn.functional import softplus

from force2geo.elements import MAX_ATOMIC_NUMBER
from force2geo.potentials.pair_sums import scalar_message
from force2geo.potentials.pairs import Pairs, find_pairs
from force2geo.potentials.radial import (
    CosineEnvelope,
    Excited,
    GaussianBasis,
    does_no_more_than,
)

if TYPE_CHECKING:
    from force2geo.potentials.batch import Batch


class ShiftedSoftplus(nn.Module):
    """ln(0.5 eˣ + 0.5), SchNet's activation."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the activation, same shape."""
        return softplus(x) - math.log(2.0)


class Interaction(nn.Module):
    """Interaction block (SchNet, section 4.2)."""

    def __init__(self, features: int, basis_size: int) -> None:
        super().__init__()
        self.filters = nn.Sequential(
            nn.Linear(basis_size, features), ShiftedSoftplus(), nn.Linear(features, features)
        )
        self.before = nn.Linear(features, features, bias=False)
        self.after = nn.Sequential(
            nn.Linear(features, features), ShiftedSoftplus(), nn.Linear(features, features)
        )

    def forward(self, scalars: Tensor, basis: Excited, envelope: Tensor, pairs: Pairs) -> Tensor:
        """Return the update (N,F)."""
        filters = self.filters
        if does_no_more_than(nn.Sequential, filters):
            weights = filters[1:](basis.through(filters[0]))
        else:
            weights = basis.through(filters)
        weights = weights * envelope[:, None]
        summed = scalar_message(self.before(scalars), weights, pairs)
        return self.after(summed)


class SchNet(nn.Module):
    """Backbone: atoms in, scalars (N,F) out, no vectors."""

    def __init__(self, layers: int, features: int, basis_size: int, cutoff: float) -> None:
        super().__init__()
        self.cutoff = cutoff
        self.features = features
        self.embedding = nn.Embedding(MAX_ATOMIC_NUMBER + 1, features, padding_idx=0)
        self.basis = GaussianBasis(basis_size, cutoff)
        self.envelope = CosineEnvelope(cutoff)
        self.interactions = nn.ModuleList(Interaction(features, basis_size) for _ in range(layers))

    def forward(self, batch: Batch) -> tuple[Tensor, None]:
        """Return scalars (N,F) and None in place of vectors."""
        pairs = find_pairs(batch, self.cutoff)
        distance = pairs.vectors(batch.positions).norm(dim=1)
        basis, envelope = self.basis(distance, pairs), self.envelope(distance)
        scalars = self.embedding(batch.atomic_numbers)
        for interaction in self.interactions:
            scalars = scalars + interaction(scalars, basis, envelope, pairs)
        return scalars, None
