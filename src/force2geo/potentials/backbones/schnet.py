"""SchNet (Schütt et al. 2017, 2018): continuous-filter convolutions of scalars."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn.functional import softplus

from force2geo.elements import MAX_ATOMIC_NUMBER
from force2geo.potentials.backbone import About, Backbone, Features, Statistics
from force2geo.potentials.charge import ChargeFeatures, charge_setting
from force2geo.potentials.fast.pair_sums import scalar_message
from force2geo.potentials.fast.radial import (
    CosineEnvelope,
    Excited,
    GaussianBasis,
    does_no_more_than,
)
from force2geo.settings import setting

if TYPE_CHECKING:
    from force2geo.potentials.batch import Batch
    from force2geo.potentials.graph import Graph
    from force2geo.potentials.pairs import Pairs


@dataclass(frozen=True)
class SchNetSettings:
    """Size of the network."""

    layers: int = setting("interaction blocks", least=1)
    features: int = setting("features of an atom", least=2)
    basis_size: int = setting("Gaussians of a distance", least=2)
    cutoff: float = setting("Å within which atoms see each other", above=0)
    charge: bool = charge_setting()


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
            weights = basis.apply(lambda radial: filters[1:](radial.through(filters[0])))
        else:
            weights = basis.through(filters)
        weights = weights * envelope[:, None]
        summed = scalar_message(self.before(scalars), weights, pairs)
        return self.after(summed)


class SchNet(Backbone):
    """Atoms in, scalars (N,F) out, no vectors."""

    Settings = SchNetSettings
    about = About(
        title="SchNet",
        source="Schütt et al. 2017, arXiv:1706.08566; 2018, doi:10.1063/1.5019779",
        table8=({"layers": 4, "features": 128, "basis_size": 128, "cutoff": 4.5}, 128),
    )

    def __init__(self, settings: SchNetSettings, statistics: Statistics) -> None:
        super().__init__(settings, statistics)
        features, basis_size, layers = settings.features, settings.basis_size, settings.layers
        self.cutoff = cutoff = settings.cutoff
        self.width = features
        self.embedding = nn.Embedding(MAX_ATOMIC_NUMBER + 1, features, padding_idx=0)
        self.charge = ChargeFeatures(features) if settings.charge else None
        self.basis = GaussianBasis(basis_size, cutoff)
        self.envelope = CosineEnvelope(cutoff)
        self.interactions = nn.ModuleList(Interaction(features, basis_size) for _ in range(layers))

    def forward(self, batch: Batch, graph: Graph) -> Features:
        """Return scalars (N,F)."""
        pairs = graph.pairs
        distance = pairs.vectors(batch.positions).norm(dim=1)
        basis, envelope = self.basis(distance, pairs), self.envelope(distance)
        scalars = self.embedding(batch.atomic_numbers)
        if self.charge is not None:
            scalars = self.charge(scalars, batch)
        for interaction in self.interactions:
            scalars = scalars + interaction(scalars, basis, envelope, pairs)
        return Features(scalars)


BACKBONE = SchNet
