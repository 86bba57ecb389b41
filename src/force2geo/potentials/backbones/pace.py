"""PACE (Xu et al. 2024): boosted edges and polynomials of many-body features.

Tensors of an atom are (N,D,F) with D = (degree + 1)²: all components of degree 0, then of degree 1,
and so on, each with F channels, which stand last so that products over channels are contiguous.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
from e3nn import o3
from e3nn.math import normalize2mom
from torch import Tensor, nn
from torch.nn.functional import silu

from force2geo.elements import MAX_ATOMIC_NUMBER
from force2geo.errors import UserError
from force2geo.potentials.backbone import About, Backbone, Features, Statistics
from force2geo.settings import setting

if TYPE_CHECKING:
    from collections.abc import Iterable

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


class Path(NamedTuple):
    """A product of degrees `left` and `right` that gives degree `out`, and of which parity."""

    left: int
    right: int
    out: int
    parity: int


def _span(degree: int) -> slice:
    """Return where the components of a degree stand."""
    return slice(degree**2, (degree + 1) ** 2)


def _paths(lefts: Iterable[tuple[int, int]], degree: int, even: bool, most: int) -> list[Path]:
    """Return the products of tensors (degree, parity) with harmonics, up to a degree `most`."""
    found = []
    for (left, sign), right in product(lefts, range(degree + 1)):
        parity = sign * _parity(right, even)
        found += [
            Path(left, right, out, parity)
            for out in range(abs(left - right), min(left + right, most) + 1)
        ]
    return found


def _parity(degree: int, even: bool) -> int:
    return 1 if even else (-1) ** degree


def _own_paths(degree: int, even: bool) -> list[Path]:
    """Return the products of harmonics that are again of the harmonics' kind."""
    own = [(one, _parity(one, even)) for one in range(degree + 1)]
    return [path for path in _paths(own, degree, even, degree) if (path.out, path.parity) in own]


def _coupling(left: int, right: int, out: int) -> Tensor:
    """Return Clebsch-Gordan coefficients (out, left, right), a sum of squares of 2·out + 1."""
    three = o3.wigner_3j(out, left, right, dtype=torch.float64)
    return three * math.sqrt(2 * out + 1)


class Constants(nn.Module):
    """Base of modules with fixed coefficients, which are in no checkpoint.

    They are remembered in float64 and rounded from there whatever precision the weights get.
    """

    def __init__(self) -> None:
        super().__init__()
        self._exact: dict[str, Tensor] = {}

    def keep(self, **values: Tensor) -> None:
        """Keep numbers, made in float64, as buffers in the default precision."""
        for name, exact in values.items():
            self._exact[name] = exact
            self.register_buffer(name, exact.to(torch.get_default_dtype()), persistent=False)

    def _apply(self, fn: Any, recurse: bool = True) -> Constants:
        super()._apply(fn, recurse)
        for name, exact in self._exact.items():
            held = getattr(self, name)
            setattr(self, name, exact.to(held))
        return self


def _random(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(*shape))


class Perceptron(nn.Module):
    """Three hidden layers without biases, whose inputs count as normal numbers.

    Zeros give zeros, so that what is made of a distance ends with its envelope.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        sizes = [inputs, _HIDDEN, _HIDDEN, _HIDDEN, outputs]
        self.weights = nn.ParameterList(_random(one, other) for one, other in pairwise(sizes))

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
        every = _own_paths(settings.degree, even)
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
            along = _coupling(left, right, out) @ axis[_span(right)] @ axis[_span(left)]
            count = sum(path.out == out for path in every)
            peak = axis[_span(out)]
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
        paths = _own_paths(settings.degree, settings.parity == "even")
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
                coupling = _coupling(left, right, out) / math.sqrt(count)
                table[_span(right), _span(out), place] = coupling.permute(2, 0, 1)
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
            weighted = (weight[:, :, None] * sent[:, None, _span(left)]).flatten(1, 2)
            table = edges.harmonics @ getattr(self, f"table_{left}")
            part = table.unflatten(1, (tensors.shape[1], weighted.shape[1])) @ weighted
            message = part if message is None else message + part
        assert message is not None
        return torch.zeros_like(tensors).index_add(0, graph.receiver, message) / mean


class Polynomial(Constants):
    """Weighted products of one, two and three linear maps of an atom's tensors.

    A product of three is one of the first two, of any degree and parity, with the third. Weights
    are by element. Only what ends in `most` degrees is made.
    """

    pairs: Tensor
    thirds: Tensor

    def __init__(self, settings: PACESettings, elements: int, most: int) -> None:
        super().__init__()
        degree, features, even = settings.degree, settings.features, settings.parity == "even"
        self.most = most
        self.maps = _random(degree + 1, features, 3 * features)
        own = [(one, _parity(one, even)) for one in range(degree + 1)]
        pairs = _paths(own, degree, even, 2 * degree)
        groups = sorted({(path.out, path.parity) for path in pairs})
        ends = {
            group: [
                path
                for path in _paths([group], degree, even, most)
                if path.parity == _parity(path.out, even)
            ]
            for group in groups
        }
        groups = [group for group in groups if ends[group]]
        members = [[pair for pair in pairs if (pair.out, pair.parity) == group] for group in groups]
        # Pairs of tensors, sorted by group, from the outer product of the first two.
        rows = []
        for left, right, out, _ in (pair for some in members for pair in some):
            row = torch.zeros(2 * out + 1, (degree + 1) ** 2, (degree + 1) ** 2).double()
            row[:, _span(left), _span(right)] = _coupling(left, right, out)
            rows.append(row)
        self.keep(pairs=torch.cat(rows).flatten(1))
        # Groups by what they end in with the third, which is multiplied last.
        self.keep(thirds=self._thirds([end for group in groups for end in ends[group]], degree))
        self.sizes = [
            (len(ends[group]), len(some), 2 * group[0] + 1)
            for group, some in zip(groups, members, strict=True)
        ]
        # A group of a kind that the outcome has is a product of two of its own.
        self.quadratic = [
            group[0] if group[0] <= most and group[1] == _parity(group[0], even) else None
            for group in groups
        ]
        # As published, weights start as one over their number for a degree.
        outs = [
            end.out
            for group, some in zip(groups, members, strict=True)
            for end in ends[group]
            for _ in some
        ]
        squares = zip(self.quadratic, members, strict=True)
        self.cubic = self._weights(elements, outs, features)
        self.square = self._weights(
            elements, [out for out, some in squares if out is not None for _ in some], features
        )
        self.linear = _random(elements, most + 1, features)
        self.update = _random(most + 1, features, features)

    def _weights(self, elements: int, outs: list[int], features: int) -> nn.Parameter:
        counts = torch.tensor([outs.count(out) for out in outs])
        return nn.Parameter(torch.randn(elements, len(outs), features) / counts[:, None])

    def _thirds(self, ends: list[Path], degree: int) -> Tensor:
        """Return (outcomes·D, components of all ends): what the third is multiplied by."""
        components = (self.most + 1) ** 2
        columns = []
        for left, right, out, _ in ends:
            column = torch.zeros(components, (degree + 1) ** 2, 2 * left + 1, dtype=torch.float64)
            column[_span(out), _span(right)] = _coupling(left, right, out).transpose(1, 2)
            columns.append(column.flatten(0, 1))
        return torch.cat(columns, dim=1)

    def forward(self, tensors: Tensor, kinds: Tensor) -> Tensor:
        """Return (N,(most + 1)²,F) of (N,D,F) and the elements' numbers (N,)."""
        atoms, components, features = tensors.shape
        mapped = _by_degree(tensors, self.maps)
        first, second, third = mapped.chunk(3, dim=2)
        # In the published order: the second map stands first, and in the linear term.
        outer = (second[:, :, None] * first[:, None]).flatten(1, 2)
        pairs = (self.pairs @ outer).split([some * size for _, some, size in self.sizes], dim=1)
        cubic = self.cubic[kinds].split([ends * some for ends, some, _ in self.sizes], dim=1)
        square = self.square[kinds]
        ends, squares, used = [], {}, 0
        for pair, weight, size, out in zip(pairs, cubic, self.sizes, self.quadratic, strict=True):
            pair = pair.view(atoms, *size[1:], features)
            weight = weight.view(atoms, *size[:2], 1, features)
            ends.append((weight * pair[:, None]).sum(2).flatten(1, 2))
            if out is not None:
                own = square[:, used : used + size[1], None]
                squares[out], used = (own * pair).sum(1), used + size[1]
        by_third = (self.thirds @ torch.cat(ends, dim=1)).view(atoms, -1, components, features)
        linear = self.linear[kinds]
        below = [
            squares[out] + linear[:, out, None] * second[:, _span(out)]
            for out in range(self.most + 1)
        ]
        total = torch.cat(below, dim=1) + (by_third * third[:, None]).sum(2)
        return _by_degree(total, self.update)


def _by_degree(tensors: Tensor, weights: Tensor) -> Tensor:
    """Return linear maps (degrees,F,G) of the channels of tensors (N,D,F), one for each degree."""
    scaled = weights / math.sqrt(weights.shape[1])
    return torch.cat([tensors[:, _span(one)] @ each for one, each in enumerate(scaled)], dim=1)


class Skip(nn.Module):
    """Linear maps of an atom's own tensors, by element."""

    def __init__(self, elements: int, degrees: int, features: int) -> None:
        super().__init__()
        self.weight = _random(degrees, elements, features, features)

    def forward(self, tensors: Tensor, one_hot: Tensor) -> Tensor:
        """Return (N,D,F) of (N,D,F); `one_hot` (N,elements)."""
        # Channels of other elements are zero, so that one product serves all.
        spread = (one_hot[:, None, :, None] * tensors[:, :, None]).flatten(2)
        return _by_degree(spread, self.weight.flatten(1, 2))


class Readout(nn.Module):
    """A number of an atom's scalars."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.hidden, self.out = _random(features, hidden), _random(hidden)

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
        self.embedding = _random(len(known), features)
        self.first_skip = _random(len(known), features, features)
        self.booster = EdgeBooster(settings, len(known))
        ends = [degree] * (layers - 1) + [0]
        self.messages = nn.ModuleList(Message(settings, len(known)) for _ in ends[1:])
        self.polynomials = nn.ModuleList(Polynomial(settings, len(known), end) for end in ends)
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
            vectors = tensors[:, _span(1)]
            summed = send(tensors, boosted, edges, graph, self.mean)
            tensors = polynomial(summed, kinds) + skip(tensors, one_hot)
            energy = energy + readout(tensors[:, 0])
        return Features(tensors[:, 0], vectors, energy * self.scale)


def _envelope(x: Tensor) -> Tensor:
    """Return the polynomial with p = 5 that leaves 1 at x = 0 and is 0, flat, from x = 1 on."""
    x = x.clamp(max=1)
    return 1 - x**5 * (21 - 35 * x + 15 * x**2)


BACKBONE = PACE
