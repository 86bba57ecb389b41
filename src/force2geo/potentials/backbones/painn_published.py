"""PaiNN as the Force2Geo paper published it, for its checkpoints and its recipe.

It differs from `painn` in what is kept for exactness: edge vectors are not normalised, Gaussians
have no envelope (so that the energy jumps where an atom crosses the cutoff), scalars are
normalised before each message, and constants of the Open Catalyst code scale messages and updates
(Force2Geo, appendix F and its public code; Schütt et al. 2021).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor, nn

from force2geo.potentials.backbone import About, Backbone, Features, Statistics
from force2geo.potentials.fast.atom_steps import invariants, senders, updated
from force2geo.potentials.fast.pair_sums import painn_message
from force2geo.potentials.fast.radial import Excited, GaussianBasis
from force2geo.settings import setting

if TYPE_CHECKING:
    from force2geo.potentials.batch import Batch
    from force2geo.potentials.graph import Graph
    from force2geo.potentials.pairs import Pairs

_ELEMENTS = 80  # of its embedding, the first of which is none
_INVERSE_SQRT_2 = 1 / math.sqrt(2.0)
_INVERSE_SQRT_3 = 1 / math.sqrt(3.0)


@dataclass(frozen=True)
class PublishedPaiNNSettings:
    """Size of the network."""

    layers: int = setting("message and update blocks", least=1)
    features: int = setting("features of an atom", least=2)
    basis_size: int = setting("Gaussians of a distance", least=2)
    cutoff: float = setting("Å within which atoms see each other", above=0)


def linear(inside: int, outside: int, bias: bool = True) -> nn.Linear:
    """Return a layer with Glorot's weights and no bias to begin with."""
    layer = nn.Linear(inside, outside, bias=bias)
    nn.init.xavier_uniform_(layer.weight)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


def mlp(inside: int, middle: int, outside: int) -> nn.Sequential:
    """Return two such layers with SiLU between them."""
    return nn.Sequential(linear(inside, middle), nn.SiLU(), linear(middle, outside))


class PublishedMessage(nn.Module):
    """Message block: `vectors` are scaled by 1/√F, their part along neighbours' by 1/√3 more."""

    def __init__(self, features: int, basis_size: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(features)
        self.context = mlp(features, features, 3 * features)
        self.filters = linear(basis_size, 3 * features)
        self.scale = 1 / math.sqrt(features)

    def forward(
        self,
        scalars: Tensor,
        vectors: Tensor | None,
        basis: Excited,
        edges: Tensor,
        pairs: Pairs,
    ) -> tuple[Tensor, Tensor]:
        """Return the scalar (N,F) and vector (N,3,F) updates."""
        # Its filters are those of scalars, vectors and edges, in this order.
        chunks = (0, 2) if vectors is None else (0, 2, 1)
        filters = basis.through(self.filters, chunks, of=3)
        context, gate = self.context(self.norm(scalars)), _INVERSE_SQRT_3 * self.scale
        sent = senders(context, vectors, (0, 2, 1), self.scale, gate, pairs.sorted is not None)
        return painn_message(*sent, filters, edges, pairs)


class PublishedUpdate(nn.Module):
    """Update block: the product of vectors is scaled by 1/√F, the scalar update by 1/√2."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.mix = linear(features, 2 * features, bias=False)
        self.context = mlp(2 * features, features, 3 * features)
        self.scale = 1 / math.sqrt(features)

    def forward(self, scalars: Tensor, vectors: Tensor, loops: bool) -> tuple[Tensor, Tensor]:
        """Return the updated scalars (N,F) and vectors (N,3,F), on a CPU in `loops`."""
        joined, product, left = invariants(scalars, self.mix(vectors), self.scale, loops)
        gates, factor = self.context(joined), _INVERSE_SQRT_2
        return updated(gates, product, left, scalars, vectors, (0, 1, 2), factor, loops)


class PublishedPaiNN(Backbone):
    """Atoms in, scalars (N,F) and vectors (N,3,F) out."""

    Settings = PublishedPaiNNSettings
    about = About(
        title="PaiNN, as published with Force2Geo",
        source="Schütt et al. 2021, arXiv:2102.03150; Force2Geo, appendix F",
    )
    largest_element = _ELEMENTS - 1
    smooth = False

    def __init__(self, settings: PublishedPaiNNSettings, statistics: Statistics) -> None:
        super().__init__(settings, statistics)
        features, basis_size, layers = settings.features, settings.basis_size, settings.layers
        self.cutoff = cutoff = settings.cutoff
        self.width = self.vector_width = features
        self.embedding = nn.Embedding(_ELEMENTS, features)
        self.basis = GaussianBasis(basis_size, cutoff)
        self.messages = nn.ModuleList(PublishedMessage(features, basis_size) for _ in range(layers))
        self.updates = nn.ModuleList(PublishedUpdate(features) for _ in range(layers))

    def forward(self, batch: Batch, graph: Graph) -> Features:
        """Return scalars (N,F) and vectors (N,3,F)."""
        pairs = graph.pairs
        vector = pairs.vectors(batch.positions)
        basis = self.basis(vector.norm(dim=1), pairs)
        scalars = self.embedding(batch.atomic_numbers)
        vectors: Tensor | None = None
        for message, update in zip(self.messages, self.updates, strict=True):
            # Edge vectors are target less source: away from what sends.
            ds, dv = message(scalars, vectors, basis, -vector, pairs)
            scalars = (scalars + ds) * _INVERSE_SQRT_2
            vectors = dv if vectors is None else vectors + dv
            scalars, vectors = update(scalars, vectors, pairs.sorted is not None)
        assert vectors is not None
        return Features(scalars, vectors)


BACKBONE = PublishedPaiNN
