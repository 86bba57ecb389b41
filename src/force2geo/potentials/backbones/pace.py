"""PACE (Xu et al. 2024): boosted edges and polynomials of many-body features.

Tensors of an atom are (N,D,F), as `force2geo.potentials.polynomials` has them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
from e3nn import o3
from e3nn.math import normalize2mom
from torch import Tensor, nn
from torch.nn.functional import silu

from force2geo.elements import MAX_ATOMIC_NUMBER
from force2geo.errors import UserError
from force2geo.potentials.backbone import About, Backbone, Features, Statistics
from force2geo.potentials.polynomials import (
    Constants,
    Polynomial,
    by_degree,
    coupling,
    own_paths,
    random,
    span,
)
from force2geo.settings import setting

if TYPE_CHECKING:
    from force2geo.potentials.batch import Batch
    from force2geo.potentials.graph import Graph

_HIDDEN = 64  # features within the networks of distances and of pairs of elements, as published
# Scales an activation so that normal numbers keep a mean square of one.
_SILU = normalize2mom(silu).cst


@dataclass(frozen=True)
class PACESettings:
    """Size of the network."""

    layers: int = setting("messages, each with its polynomial", least=1)
    features: int = setting("channels of an atom's tensors, a multiple of boosts + 1", least=2)
    cutoff: float = setting("Å within which atoms see each other", above=0)
    basis_size: int = setting("Bessel functions of a distance", 8, least=2)
    degree: int = setting("largest degree of tensors and spherical harmonics", 2, least=1, most=3)
    parity: Literal["even", "natural"] = setting(
        "what tensors do in a mirror: `even` takes all for even, so that mirror images may differ; "
        "`natural` has those of spherical harmonics",
        "even",
    )
    boosts: int = setting("products of an edge's harmonics with themselves", 1, least=0)
    readout_features: int = setting("hidden features of a readout", 16, least=1)


class Perceptron(nn.Module):
    """Three hidden layers without biases, whose inputs count as normal numbers.

    Zeros give zeros, so that what is made of a distance ends with its envelope.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        sizes = [inputs, _HIDDEN, _HIDDEN, _HIDDEN, outputs]
        self.weights = nn.ParameterList(random(one, other) for one, other in pairwise(sizes))

    def forward(self, x: Tensor) -> Tensor:
        """Return (…,outputs) of (…,inputs)."""
        for place, weight in enumerate(self.weights):
            scale = (1.0 if place == 0 else _SILU) / math.sqrt(len(weight))
            x = (silu(x) if place else x) @ (weight * scale)
        return x


class EdgeWeights(nn.Module):
    """Weights of an edge's products: a part of its length and one of its elements."""

    def __init__(self, basis_size: int, elements: int, products: int, features: int) -> None:
        super().__init__()
        self.shape = (products, features)
        self.radial = Perceptron(basis_size, products * features)
        self.chemical = Perceptron(2 * elements, products * features)

    def forward(self, edges: Edges) -> Tensor:
        """Return (E,products,features)."""
        radial, chemical = self.radial(edges.basis), edges.of_elements(self.chemical)
        # Both directions of a pair have one length.
        both = radial + chemical.unflatten(0, (2, len(radial)))
        return both.view(len(chemical), *self.shape)


class Edges(NamedTuple):
    """What all layers know of edges.

    `basis` (E/2,K) radial features of each pair, `harmonics` (E,D), `kinds` (E,) a row of
    `elements` (kinds, 2·elements), the one-hot elements of sender and receiver.
    """

    basis: Tensor
    harmonics: Tensor
    elements: Tensor
    kinds: Tensor

    def of_elements(self, network: nn.Module) -> Tensor:
        """Return what a network makes of the elements of each edge (E,…)."""
        return network(self.elements).index_select(0, self.kinds)


class EdgeBooster(Constants):
    """Features of an edge by products of its harmonics with themselves (the edge booster).

    Such a product is the harmonic of its own degree times a number, or zero where the three
    degrees sum to an odd one. All of a boosted edge is thus (E,degree + 1,F) numbers, by which
    its harmonics are multiplied; paths that give zero have no weights, though the published
    network's normalisation counts them.
    """

    factors: Tensor
    lefts: Tensor

    def __init__(self, settings: PACESettings, elements: int) -> None:
        super().__init__()
        degrees, even = settings.degree + 1, settings.parity == "even"
        width = settings.features // (settings.boosts + 1)
        self.start = nn.Sequential(
            nn.Linear(2 * elements, width, bias=False),
            nn.LayerNorm(width),
            nn.SiLU(),
            nn.Linear(width, width, bias=False),
        )
        self.radial = Perceptron(settings.basis_size, degrees * width)
        every = own_paths(settings.degree, even)
        paths = [path for path in every if sum(path[:3]) % 2 == 0]
        self.boosts = nn.ModuleList(
            EdgeWeights(settings.basis_size, elements, len(paths), width)
            for _ in range(settings.boosts)
        )
        axis = o3.spherical_harmonics(
            list(range(degrees)), torch.tensor([0, 1, 0]).double(), True, "component"
        )
        factors = torch.zeros(degrees, len(paths), dtype=torch.float64)
        for place, (left, right, out, _) in enumerate(paths):
            along = coupling(left, right, out) @ axis[span(right)] @ axis[span(left)]
            count = sum(path.out == out for path in every)
            peak = axis[span(out)]
            factors[out, place] = (along @ peak) / (peak @ peak) / math.sqrt(count)
        self.keep(factors=factors)
        self.register_buffer("lefts", torch.tensor([path.left for path in paths]), persistent=False)
        self.shape = (degrees, width)

    def forward(self, edges: Edges) -> Tensor:
        """Return (E,degree + 1,F)."""
        start = edges.of_elements(self.start)
        radial = self.radial(edges.basis).unflatten(1, self.shape)
        boosted = [(radial * start.unflatten(0, (2, len(radial)))[:, :, None]).flatten(0, 1)]
        for boost in self.boosts:
            before = boosted[-1].index_select(1, self.lefts)
            boosted.append(self.factors @ (boost(edges) * before))
        return torch.cat(boosted, dim=2)


class Message(Constants):
    """Sum over neighbours of products of their tensors with boosted edges."""

    rights: Tensor

    def __init__(self, settings: PACESettings, elements: int) -> None:
        super().__init__()
        paths = own_paths(settings.degree, settings.parity == "even")
        self.counts = [sum(path.left == left for path in paths) for left in range(paths[-1][0] + 1)]
        self.weights = EdgeWeights(settings.basis_size, elements, len(paths), settings.features)
        rights = torch.tensor([path.right for path in paths])
        self.register_buffer("rights", rights, persistent=False)
        components = (settings.degree + 1) ** 2
        for left in range(settings.degree + 1):
            own = [path for path in paths if path.left == left]
            table = torch.zeros(components, components, len(own), 2 * left + 1, dtype=torch.float64)
            for place, (_, right, out, _) in enumerate(own):
                count = sum(path.out == out for path in paths)
                coefficients = coupling(left, right, out) / math.sqrt(count)
                table[span(right), span(out), place] = coefficients.permute(2, 0, 1)
            self.keep(**{f"table_{left}": table.flatten(1)})

    def forward(
        self, tensors: Tensor, boosted: Tensor, edges: Edges, graph: Graph, mean: float
    ) -> Tensor:
        """Return (N,D,F), sums divided by the `mean` number of neighbours."""
        weights = self.weights(edges) * boosted.index_select(1, self.rights)
        sent = tensors.index_select(0, graph.sender)
        message: Tensor | None = None
        # One product for all paths of a degree: (E, D, paths·components) by (…, F).
        for left, weight in enumerate(weights.split(self.counts, dim=1)):
            weighted = (weight[:, :, None] * sent[:, None, span(left)]).flatten(1, 2)
            table = edges.harmonics @ getattr(self, f"table_{left}")
            part = table.unflatten(1, (tensors.shape[1], weighted.shape[1])) @ weighted
            message = part if message is None else message + part
        assert message is not None
        return torch.zeros_like(tensors).index_add(0, graph.receiver, message) / mean


class Skip(nn.Module):
    """Linear maps of an atom's own tensors, by element."""

    def __init__(self, elements: int, degrees: int, features: int) -> None:
        super().__init__()
        self.weight = random(degrees, elements, features, features)

    def forward(self, tensors: Tensor, one_hot: Tensor) -> Tensor:
        """Return (N,D,F) of (N,D,F); `one_hot` (N,elements)."""
        # Channels of other elements are zero, so that one product serves all.
        spread = (one_hot[:, None, :, None] * tensors[:, :, None]).flatten(2)
        return by_degree(spread, self.weight.flatten(1, 2))


class Readout(nn.Module):
    """A number of an atom's scalars."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.hidden, self.out = random(features, hidden), random(hidden)

    def forward(self, scalars: Tensor) -> Tensor:
        """Return (N,) of (N,F)."""
        hidden = silu(scalars @ self.hidden / math.sqrt(len(self.hidden)))
        return hidden @ self.out * (_SILU / math.sqrt(len(self.out)))


class PACE(Backbone):
    """Atoms in, scalars (N,F), vectors (N,3,F) of the last but one layer and an energy (N,) out.

    Of an element that the training set had not the answer is not a number. The energy is in units
    of the training set's root mean square force times 1 Å.
    """

    Settings = PACESettings
    about = About(
        title="PACE",
        source="Xu et al. 2024, arXiv:2411.04219",
        code="force2geo and e3nn>=0.6",
        extra="e3nn",
        table8=({"layers": 2, "features": 128, "cutoff": 4.5, "degree": 2, "parity": "even"}, 8),
    )
    mirror = False
    own_readout = True
    one_hot: Tensor

    def __init__(self, settings: PACESettings, statistics: Statistics) -> None:
        super().__init__(settings, statistics)
        if settings.features % (settings.boosts + 1):
            raise UserError(
                f"backbone pace: 'features' is {settings.features}, no multiple of boosts + 1"
            )
        features, layers, degree = settings.features, settings.layers, settings.degree
        known = statistics.elements or tuple(range(1, MAX_ATOMIC_NUMBER + 1))
        self.cutoff, self.width = settings.cutoff, features
        self.vector_width = features if layers > 1 else 0
        self.mean, self.scale = max(statistics.mean_neighbours, 1e-9), statistics.force_rms
        self.degrees = list(range(degree + 1))
        one_hot = torch.full((MAX_ATOMIC_NUMBER + 1, len(known)), torch.nan)
        one_hot[list(known)] = torch.eye(len(known))
        self.register_buffer("one_hot", one_hot, persistent=False)
        self.frequencies = [math.pi * n / self.cutoff for n in range(1, settings.basis_size + 1)]
        self.embedding = random(len(known), features)
        self.first_skip = random(len(known), features, features)
        self.booster = EdgeBooster(settings, len(known))
        ends = [degree] * (layers - 1) + [0]
        self.messages = nn.ModuleList(Message(settings, len(known)) for _ in ends[1:])
        size = settings.degree, settings.features, settings.parity == "even"
        self.polynomials = nn.ModuleList(Polynomial(*size, len(known), end) for end in ends)
        self.skips = nn.ModuleList(Skip(len(known), end + 1, features) for end in ends[1:])
        self.readouts = nn.ModuleList(Readout(features, settings.readout_features) for _ in ends)

    def _edges(self, batch: Batch, graph: Graph, one_hot: Tensor) -> Edges:
        # From sender to receiver, as published: what is odd in a mirror changes its sign.
        vectors = -graph.vectors(batch.positions)
        harmonics = o3.spherical_harmonics(self.degrees, vectors, True, "component")
        distance = vectors[: len(vectors) // 2].norm(dim=1, keepdim=True)
        basis = torch.sin(distance * distance.new_tensor(self.frequencies)) / distance
        basis = basis * (math.sqrt(2 / self.cutoff) * _envelope(distance / self.cutoff))
        elements = one_hot.shape[1]
        senders, receivers = one_hot[graph.sender], one_hot[graph.receiver]
        if elements**2 > len(vectors):
            each = torch.cat([senders, receivers], dim=1)
            return Edges(basis, harmonics, each, torch.arange(len(each), device=each.device))
        # Edges are more than pairs of elements.
        every = torch.eye(elements, dtype=one_hot.dtype, device=one_hot.device)
        pairs = torch.cat([every.repeat_interleave(elements, 0), every.repeat(elements, 1)], dim=1)
        kinds = senders.argmax(1) * elements + receivers.argmax(1)
        return Edges(basis, harmonics, pairs, kinds)

    def forward(self, batch: Batch, graph: Graph) -> Features:
        """Return scalars (N,F), vectors (N,3,F) and energies (N,)."""
        one_hot = self.one_hot[batch.atomic_numbers]
        kinds = one_hot.argmax(1)
        edges = self._edges(batch, graph, one_hot)
        boosted = self.booster(edges)
        embedded = self.embedding / math.sqrt(len(self.embedding))
        skipped = torch.einsum("zf,zfg->zg", embedded, self.first_skip)
        skipped = skipped / math.sqrt(embedded.numel())
        degree_of = [one for one in self.degrees for _ in range(2 * one + 1)]
        message = boosted[:, degree_of] * edges.harmonics[:, :, None]
        summed = message.new_zeros(len(one_hot), *message.shape[1:])
        summed = summed.index_add(0, graph.receiver, message) / self.mean
        tensors = self.polynomials[0](summed, kinds)
        own = (one_hot @ skipped)[:, None]
        tensors = torch.cat([tensors[:, :1] + own, tensors[:, 1:]], dim=1)
        energy, vectors = self.readouts[0](tensors[:, 0]), None
        rest = zip(self.messages, self.polynomials[1:], self.skips, self.readouts[1:], strict=True)
        for send, polynomial, skip, readout in rest:
            vectors = tensors[:, span(1)]
            summed = send(tensors, boosted, edges, graph, self.mean)
            tensors = polynomial(summed, kinds) + skip(tensors, one_hot)
            energy = energy + readout(tensors[:, 0])
        return Features(tensors[:, 0], vectors, energy * self.scale)


def _envelope(x: Tensor) -> Tensor:
    """Return the polynomial with p = 5 that leaves 1 at x = 0 and is 0, flat, from x = 1 on."""
    x = x.clamp(max=1)
    return 1 - x**5 * (21 - 35 * x + 15 * x**2)


BACKBONE = PACE
