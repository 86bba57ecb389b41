"""SE(3)-Transformer (Fuchs et al. 2020): attention with steerable kernels as keys and values.

Features are lists by degree l of (N,2l+1,C) tensors. Kernels mix in products of all harmonics,
cross products too, so that predictions follow turns and not reflections.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from force2geo.elements import MAX_ATOMIC_NUMBER
from force2geo.errors import UserError
from force2geo.potentials.backbone import About, Backbone, Features, Statistics
from force2geo.potentials.degrees import EdgeMatrices, attention, coupling, received
from force2geo.potentials.pairs import occurrences
from force2geo.settings import setting

if TYPE_CHECKING:
    from force2geo.potentials.batch import Batch
    from force2geo.potentials.graph import Graph


@dataclass(frozen=True)
class SE3TransformerSettings:
    """Size of the network; the paper's for QM9 is 7 layers, 32 features, degree 3 and 8 heads."""

    layers: int = setting("attention blocks", least=1)
    features: int = setting("features of an atom of each degree", least=2)
    cutoff: float = setting("Å within which atoms see each other", above=0)
    degree: int = setting("highest degree of features", 2, least=1, most=3)
    heads: int = setting("attention heads", 8, least=1)
    division: int = setting("features of an atom for one of keys and values", 2, least=1)
    radial_features: int = setting("hidden features of a distance", 32, least=2)
    softening: float = setting(
        "length of a feature under which its direction fades; published 1e-12, with which forces "
        "are huge where a feature nearly vanishes by symmetry, as in methane",
        0.1,
        above=0,
    )


@dataclass
class Edges:
    """What all layers ask of the edges: E of them over P pairs, `distance` (P,1) in Å.

    `matrices` (E,(2l+1)·J,2k+1) of degrees "k→l" turn a feature by each of J harmonics.
    """

    receiver: Tensor
    sender: Tensor
    atoms: int
    distance: Tensor
    matrices: dict[str, Tensor]


def _edge_matrices(degree: int) -> EdgeMatrices:
    """Return the angular parts of kernels (eq. 8); harmonics have a unit norm on the sphere."""
    tables = {}
    for k in range(degree + 1):
        for out in range(degree + 1):
            harmonics = range(abs(k - out), k + out + 1)
            parts = [coupling(k, j, out, 2 * degree) for j in harmonics]
            tables[f"{k}to{out}"] = torch.stack(parts, 2).flatten(1, 2)
    return EdgeMatrices(tables, 2 * degree, "integral")


class Radial(nn.Sequential):
    """Radial part of a kernel from the distance (P,1): a network with two hidden layers."""

    def __init__(self, hidden: int, outputs: int) -> None:
        sizes = [(1, hidden), (hidden, hidden), (hidden, outputs)]
        linear = [nn.Linear(*size) for size in sizes]
        for one in linear:
            nn.init.kaiming_uniform_(one.weight)
        norms = [nn.LayerNorm(hidden) for _ in range(2)]
        super().__init__(linear[0], norms[0], nn.ReLU(), linear[1], norms[1], nn.ReLU(), linear[2])


class Kernels(nn.Module):
    """Messages along edges by steerable kernels, W(x_j - x_i) f_j (eq. 8), of given degrees."""

    def __init__(self, inside: list[int], outside: list[int], hidden: int) -> None:
        super().__init__()
        self.inside, self.outside = inside, outside
        self.radial = nn.ModuleDict()
        for k, wide in enumerate(inside):
            for out, wanted in enumerate(outside):
                outputs = (2 * min(k, out) + 1) * wide * wanted
                if wanted:
                    self.radial[f"{k}to{out}"] = Radial(hidden, outputs)

    def forward(self, x: list[Tensor], edges: Edges) -> list[Tensor]:
        """Return (E,2l+1,C) of each degree that is outside."""
        sent = [one.index_select(0, edges.sender) for one in x]
        out: list[Tensor | None] = [None] * len(self.outside)
        for name, radial in self.radial.items():
            k, degree = (int(one) for one in name.split("to"))
            # Each harmonic turns the features; the radial part then mixes their channels. It is
            # the same for both directions of a pair.
            turned = (
                torch.bmm(edges.matrices[name], sent[k]) if k else (edges.matrices[name] * sent[k])
            )
            turned = turned.unflatten(1, (2 * degree + 1, -1)).flatten(2)
            mixing = radial(edges.distance).unflatten(1, (turned.shape[2], -1))
            there, back = turned.chunk(2)
            both = torch.bmm(torch.cat([there, back], 1), mixing)
            messages = torch.cat(both.chunk(2, 1))
            before = out[degree]
            out[degree] = messages if before is None else before + messages
        return [one for one in out if one is not None]


def _mix(inside: int, outside: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(inside, outside) / math.sqrt(inside))


class Block(nn.Module):
    """Attention over neighbours beside an atom's own features, mixed (eqs 10 and 11)."""

    def __init__(
        self, inside: list[int], outside: list[int], settings: SE3TransformerSettings
    ) -> None:
        super().__init__()
        self.heads = settings.heads
        values = [wide // settings.division for wide in outside]
        keys = values[: len(inside)]
        self.values = Kernels(inside, values, settings.radial_features)
        self.keys = Kernels(inside, keys, settings.radial_features)
        self.queries = nn.ParameterList(map(_mix, inside, keys))
        self.scale = 1 / math.sqrt(sum(wide * (2 * k + 1) for k, wide in enumerate(keys)))
        own = [*inside, *[0] * (len(outside) - len(inside))]
        joined = [value + wide for value, wide in zip(values, own, strict=True)]
        self.project = nn.ParameterList(map(_mix, joined, outside))

    def forward(self, x: list[Tensor], edges: Edges) -> list[Tensor]:
        """Return features of the degrees that are outside."""
        queries = [one @ mix for one, mix in zip(x, self.queries, strict=True)]
        scores = x[0].new_zeros(len(edges.receiver), self.heads)
        for key, query in zip(self.keys(x, edges), queries, strict=True):
            product = key * query.index_select(0, edges.receiver)
            scores = scores + product.unflatten(2, (self.heads, -1)).sum((1, 3))
        weights = attention(self.scale * scores, edges.receiver, edges.atoms)[:, None, :, None]
        joined = []
        for degree, value in enumerate(self.values(x, edges)):
            weighed = (value.unflatten(2, (self.heads, -1)) * weights).flatten(2)
            summed = received(weighed, edges.receiver, edges.atoms)
            joined.append(torch.cat([summed, *x[degree : degree + 1]], 2))
        return [one @ mix for one, mix in zip(joined, self.project, strict=True)]


class NormActivation(nn.Module):
    """Norms of features, normalised and rectified, along the features' directions."""

    def __init__(self, channels: list[int], softening: float) -> None:
        super().__init__()
        self.softening = softening
        self.norms = nn.ModuleList(nn.LayerNorm(wide) for wide in channels)

    def forward(self, x: list[Tensor]) -> list[Tensor]:
        """Return features of the same shapes."""
        out = []
        for one, norm in zip(x, self.norms, strict=True):
            length = (one.square().sum(1, keepdim=True) + self.softening**2).sqrt()
            out.append(relu(norm(length)) * (one / length))
        return out


class SE3Transformer(Backbone):
    """Atoms in; scalars (N,F·degrees), vectors (N,3,F) and energies of atoms out.

    As published for QM9, apart from: an embedding of elements takes the place of one-hot vectors
    and there are no bonds; the readout is of each atom and summed, not of a molecule's mean, so
    that energy is extensive; an atom without neighbours keeps its own features in the last layer;
    `softening`. Energies are in units of the training set's force RMS. Distances and attention do
    not fade out at the cutoff, so neither energy nor forces are continuous there.
    """

    Settings = SE3TransformerSettings
    about = About(
        title="SE(3)-Transformer", source="Fuchs et al. 2020, arXiv:2006.10503", extra="e3nn"
    )
    own_readout = True
    smooth = False
    mirror = False

    def __init__(self, settings: SE3TransformerSettings, statistics: Statistics) -> None:
        super().__init__(settings, statistics)
        features, parts = settings.features, settings.division * settings.heads
        if features % parts:
            raise UserError(f"backbone se3_transformer: 'features' is no multiple of {parts}")
        degrees = settings.degree + 1
        channels = [features] * degrees
        self.cutoff, self.scale = settings.cutoff, statistics.force_rms
        self.width, self.vector_width = features * degrees, features
        self.embedding = nn.Embedding(MAX_ATOMIC_NUMBER + 1, features)
        self.matrices = _edge_matrices(settings.degree)
        self.blocks, self.activations = nn.ModuleList(), nn.ModuleList()
        for layer in range(settings.layers):
            self.blocks.append(Block(channels if layer else channels[:1], channels, settings))
            self.activations.append(NormActivation(channels, settings.softening))
        # A last convolution, without attention, to scalars alone.
        self.last = Kernels(channels, [self.width], settings.radial_features)
        self.own = _mix(features, self.width)
        self.readout = nn.Sequential(
            nn.Linear(self.width, self.width), nn.ReLU(), nn.Linear(self.width, 1)
        )

    def forward(self, batch: Batch, graph: Graph) -> Features:
        """Return scalars, the last block's vectors and energies of atoms."""
        vectors = graph.vectors(batch.positions)
        distance = vectors[: len(graph.pairs)].norm(dim=1, keepdim=True)
        ends = (graph.receiver, graph.sender, graph.atoms)
        edges = Edges(*ends, distance, self.matrices(vectors)[1])
        x = [self.embedding(batch.atomic_numbers)[:, None]]
        for block, activation in zip(self.blocks, self.activations, strict=True):
            x = activation(block(x, edges))
        (messages,) = self.last(x, edges)
        neighbours = occurrences(graph.receiver, graph.atoms).clamp(min=1)
        summed = received(messages[:, 0], edges.receiver, edges.atoms)
        scalars = summed / neighbours[:, None] + x[0][:, 0] @ self.own
        return Features(scalars, x[1], self.scale * self.readout(scalars)[:, 0])


BACKBONE = SE3Transformer
