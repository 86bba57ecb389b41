"""EGNN (Satorras et al. 2021): messages of scalars that move the atoms along."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from force2geo.elements import MAX_ATOMIC_NUMBER
from force2geo.potentials.backbone import About, Backbone, Features, Statistics
from force2geo.potentials.fast.radial import CosineEnvelope
from force2geo.settings import setting

if TYPE_CHECKING:
    from force2geo.potentials.batch import Batch
    from force2geo.potentials.graph import Graph


@dataclass(frozen=True)
class EGNNSettings:
    """Size of the network."""

    layers: int = setting("equivariant graph convolutions", 7, least=1)
    features: int = setting("features of an atom and of a message", 128, least=2)
    cutoff: float = setting("Å within which atoms see each other", above=0)
    attention: bool = setting("weigh messages by a learned number of each edge (eq. 8)", True)
    envelope: Literal["cosine", "none"] = setting(
        "what ends messages at the cutoff: `cosine` smoothly, `none`, as published, not", "cosine"
    )


class Convolution(nn.Module):
    """One layer (eqs 3 to 6), with a residual connection of the scalars as in the paper's code."""

    def __init__(self, features: int, attention: bool) -> None:
        super().__init__()
        # Of receiver, sender and squared distance side by side; see `forward`.
        self.edge = nn.Linear(2 * features + 1, features)
        self.message = nn.Sequential(nn.SiLU(), nn.Linear(features, features), nn.SiLU())
        self.attention = nn.Linear(features, 1) if attention else None
        step = nn.Linear(features, 1, bias=False)
        nn.init.xavier_uniform_(step.weight, gain=0.001)
        self.move = nn.Sequential(nn.Linear(features, features), nn.SiLU(), step)
        self.node = nn.Sequential(
            nn.Linear(2 * features, features), nn.SiLU(), nn.Linear(features, features)
        )

    def forward(
        self, scalars: Tensor, vectors: Tensor, weights: Tensor | None, share: Tensor, graph: Graph
    ) -> tuple[Tensor, Tensor]:
        """Return new scalars (N,F) and displacements (N,3) in Å.

        `vectors` (E,3) Å go from receiver to sender; messages are multiplied by `weights` (E,1),
        and displacements by `share` (N,1) or (), one over the number of neighbours.
        """
        # A linear layer of atoms side by side is a sum of layers of atoms, which are fewer.
        width = scalars.shape[1]
        receiver, sender, distance = self.edge.weight.split([width, width, 1], dim=1)
        edge = (scalars @ receiver.t() + self.edge.bias).index_select(0, graph.receiver)
        edge = edge + (scalars @ sender.t()).index_select(0, graph.sender)
        edge = edge + vectors.square().sum(1, keepdim=True) * distance.t()
        message = self.message(edge)
        if self.attention is not None:
            message = message * torch.sigmoid(self.attention(message))
        steps = self.move(message)
        if weights is not None:
            message, steps = message * weights, steps * weights
        # Away from the neighbours where the step is positive.
        moved = vectors.new_zeros(len(scalars), 3).index_add(0, graph.receiver, -vectors * steps)
        summed = torch.zeros_like(scalars).index_add(0, graph.receiver, message)
        return scalars + self.node(torch.cat([scalars, summed], dim=1)), moved * share


class EGNN(Backbone):
    """Atoms in, scalars (N,F) and vectors (N,3,layers) out: what each layer moves an atom by, in Å.

    Each layer sees the distances that the layers before it leave; who sees whom, and how much,
    stays as it was at first.
    """

    Settings = EGNNSettings
    about = About(title="EGNN", source="Satorras et al. 2021, arXiv:2102.09844")
    # The energy is made of the scalars, which the last displacement comes too late for.
    spare = ("backbone.last.move",)

    def __init__(self, settings: EGNNSettings, statistics: Statistics) -> None:
        super().__init__(settings, statistics)
        features = settings.features
        self.cutoff, self.width, self.vector_width = settings.cutoff, features, settings.layers
        self.embedding = nn.Embedding(MAX_ATOMIC_NUMBER + 1, features, padding_idx=0)
        self.envelope = CosineEnvelope(settings.cutoff) if settings.envelope == "cosine" else None
        self.mean = max(statistics.mean_neighbours, 1.0)
        self.convolutions = nn.ModuleList(
            Convolution(features, settings.attention) for _ in range(settings.layers - 1)
        )
        self.last = Convolution(features, settings.attention)

    def forward(self, batch: Batch, graph: Graph) -> Features:
        """Return scalars (N,F) and vectors (N,3,layers)."""
        vectors = graph.vectors(batch.positions)
        if self.envelope is None:
            # The constant C of eq. 4 is, in the paper's code, that of each atom.
            weights, counts = None, vectors.new_zeros(graph.atoms)
            counts = counts.index_add(0, graph.receiver, torch.ones_like(vectors[:, 0]))
            share = 1 / counts.clamp(min=1)[:, None]
        else:
            # The number of neighbours jumps at the cutoff, its mean over a data set does not.
            weights = self.envelope(vectors.norm(dim=1))[:, None]
            share = vectors.new_tensor(1 / self.mean)
        scalars, steps = self.embedding(batch.atomic_numbers), []
        for convolution in self.convolutions:
            scalars, moved = convolution(scalars, vectors, weights, share, graph)
            steps.append(moved)
            vectors = vectors + moved.index_select(0, graph.sender)
            vectors = vectors - moved.index_select(0, graph.receiver)
        scalars, moved = self.last(scalars, vectors, weights, share, graph)
        steps.append(moved)
        return Features(scalars, torch.stack(steps, dim=2))


BACKBONE = EGNN
