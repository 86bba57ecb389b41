"""Equiformer (Liao and Smidt 2023): graph attention on features of several degrees.

Features are lists by degree l of (N,2l+1,C) tensors, C of degree l being 2⁻ˡ of the scalars'. All
harmonics count as even, so that predictions follow turns and not reflections.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

import torch
from e3nn.math import normalize2mom
from torch import Tensor, nn
from torch.nn.functional import dropout, layer_norm, silu

from force2geo.elements import MAX_ATOMIC_NUMBER
from force2geo.errors import UserError
from force2geo.potentials.backbone import About, Backbone, Features, Statistics
from force2geo.potentials.degrees import EdgeMatrices, attention, coupling, received
from force2geo.potentials.edge_weights import GaussianBasis, Radial
from force2geo.settings import setting

if TYPE_CHECKING:
    from collections.abc import Callable

    from force2geo.potentials.batch import Batch
    from force2geo.potentials.graph import Graph


@dataclass(frozen=True)
class EquiformerSettings:
    """Size of the network; what has a default is as published for OC20, dropout for MD17."""

    layers: int = setting("transformer blocks", least=1)
    features: int = setting("scalar features of an atom; half as many vectors", least=2)
    basis_size: int = setting("Gaussians of a distance", least=2)
    cutoff: float = setting("Å within which atoms see each other", above=0)
    degree: int = setting("highest degree of features and harmonics", 1, least=1, most=3)
    heads: int = setting("attention heads", 4, least=1)
    radial_features: int = setting("hidden features of a distance", 64, least=2)
    expansion: int = setting("hidden features of feed-forward networks, per feature", 3, least=1)
    output_features: int = setting("scalar features before the readout", 512, least=2)
    attention_dropout: float = setting(
        "share of attention weights dropped in training; 0.2 on OC20", 0.0, least=0, most=0.99
    )
    feature_dropout: float = setting(
        "share of features dropped after attention and feed-forward", 0.0, least=0, most=0.99
    )
    stochastic_depth: float = setting(
        "share of molecules for which a block's branch is skipped in training; 0.05 on OC20 with "
        "18 layers",
        0.0,
        least=0,
        most=0.99,
    )
    forces: Literal["direct", "gradient"] = setting(
        "forces from a head of their own or as the energy's negative slope", "direct"
    )


@cache
def _unit(activation: Callable[[Tensor], Tensor]) -> float:
    """Return what makes an activation's mean square 1 for normal input, as e3nn estimates it."""
    return float(normalize2mom(activation, device="cpu").cst)


def _leaky(x: Tensor) -> Tensor:
    """Smooth leaky ReLU of slopes 0.2 and 1."""
    return 0.2 * x + 0.8 * x * torch.sigmoid(x)


def _gated(x: list[Tensor]) -> list[Tensor]:
    """Return activated scalars and gated others; the first degree also has the gates, last."""
    others = [one.shape[2] for one in x[1:]]
    scalars, *gates = x[0].split([x[0].shape[2] - sum(others), *others], dim=2)
    opened = [torch.sigmoid(gate) * _unit(torch.sigmoid) for gate in gates]
    return [silu(scalars) * _unit(silu), *(one * g for one, g in zip(x[1:], opened, strict=True))]


def _weights(inside: int, outside: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(inside, outside) / math.sqrt(inside))


class Mix(nn.Module):
    """Linear layer of each degree's channels; scalars get a bias as well."""

    def __init__(self, inside: list[int], outside: list[int], bias: bool = True) -> None:
        super().__init__()
        self.weights = nn.ParameterDict(
            {str(d): _weights(inside[d], wide) for d, wide in enumerate(outside) if wide}
        )
        self.bias = nn.Parameter(torch.zeros(outside[0])) if bias and outside[0] else None

    def forward(self, x: list[Tensor]) -> list[Tensor]:
        """Return features of the degrees that there are weights for."""
        out = [x[int(degree)] @ weight for degree, weight in self.weights.items()]
        return out if self.bias is None else [out[0] + self.bias, *out[1:]]


class Norm(nn.Module):
    """Layer normalisation: scalars as usual, others by their root mean square."""

    def __init__(self, channels: list[int]) -> None:
        super().__init__()
        self.weights = nn.ParameterList(torch.ones(wide) for wide in channels)
        self.bias = nn.Parameter(torch.zeros(channels[0]))

    def forward(self, x: list[Tensor]) -> list[Tensor]:
        """Return features of the same shapes."""
        first = layer_norm(x[0], x[0].shape[2:], self.weights[0], self.bias, 1e-5)
        scales = [(one.square().mean((1, 2), keepdim=True) + 1e-5).rsqrt() for one in x[1:]]
        others = zip(x[1:], scales, list(self.weights)[1:], strict=True)
        return [first, *(one * (scale * weight) for one, scale, weight in others)]


@dataclass
class Edges:
    """What all layers ask of the edges, E of them over P pairs.

    `basis` (P,B) of distances, `harmonics` (E,S), `matrices` (E,rows,2l+1) of input degrees l > 0,
    which multiply features by the harmonics above degree 0, path after path.
    """

    receiver: Tensor
    sender: Tensor
    atoms: int
    basis: Tensor
    harmonics: Tensor
    matrices: dict[str, Tensor]


def _paths(degree: int) -> list[tuple[int, int, int]]:
    """Return (input, harmonic, output) degrees of all products."""
    span = range(degree + 1)
    return [(i, j, o) for i in span for j in span for o in span if abs(i - j) <= o <= i + j]


def _edge_matrices(degree: int) -> EdgeMatrices:
    """Return the matrices that `Edges` holds; a scalar or a harmonic of degree 0 needs none."""
    rows: dict[str, list[Tensor]] = {}
    for i, j, o in _paths(degree):
        if i and j:
            rows.setdefault(str(i), []).append(coupling(i, j, o, degree) * math.sqrt(2 * o + 1))
    return EdgeMatrices({i: torch.cat(one, 1) for i, one in rows.items()}, degree, "component")


class Product(nn.Module):
    """Depth-wise tensor product with an edge's harmonics, then a linear layer.

    Each channel's weights on each path are an edge's, or, with `own_weights`, the same for all.
    Degrees without `outside` channels are left out.
    """

    def __init__(self, inside: list[int], outside: list[int], own_weights: bool) -> None:
        super().__init__()
        self.all_paths = _paths(len(inside) - 1)
        self.paths = [path for path in self.all_paths if outside[path[2]]]
        self.channels = [inside[path[0]] for path in self.paths]
        self.outputs = [degree for degree, wide in enumerate(outside) if wide]
        self.mix = nn.ParameterDict()
        for degree in self.outputs:
            fan_in = sum(inside[path[0]] for path in self.paths if path[2] == degree)
            self.mix[str(degree)] = _weights(fan_in, outside[degree])
        self.bias = nn.Parameter(torch.zeros(outside[0])) if outside[0] else None
        self.scale = nn.Parameter(torch.randn(sum(self.channels))) if own_weights else None

    def _mixers(self) -> list[Tensor]:
        """Return a linear layer (C,D) for each path, an own weight of each channel included."""
        taken, mixers = dict.fromkeys(self.outputs, 0), []
        for (_, _, o), wide in zip(self.paths, self.channels, strict=True):
            mixers.append(self.mix[str(o)][taken[o] : taken[o] + wide])
            taken[o] += wide
        if self.scale is None:
            return mixers
        scales = self.scale.split(self.channels)
        return [mixer * own[:, None] for mixer, own in zip(mixers, scales, strict=True)]

    def forward(self, x: list[Tensor], edges: Edges, weights: Tensor | None) -> list[Tensor]:
        """Return features (E,2l+1,D) of degrees with channels; `weights` (E,paths·C) of edges."""
        coupled = {int(i): torch.bmm(one, x[int(i)]) for i, one in edges.matrices.items()}
        shares = [None] * len(self.paths) if weights is None else weights.split(self.channels, 1)
        chosen = dict(zip(self.paths, zip(self._mixers(), shares, strict=True), strict=True))
        out: dict[int, Tensor] = {}
        row = [0] * len(x)
        for i, j, o in self.all_paths:
            if i and j:  # rows of a path that is left out are passed over
                values = coupled[i][:, row[i] : row[i] + 2 * o + 1]
                row[i] += 2 * o + 1
            else:
                values = x[i]
            if (i, j, o) not in chosen:
                continue
            mixer, share = chosen[i, j, o]
            values = (values if share is None else values * share[:, None]) @ mixer
            if i == 0 and o:  # mixed before it gets more components
                values = values * edges.harmonics[:, o**2 : (o + 1) ** 2, None]
            out[o] = out[o] + values if o in out else values
        if self.bias is not None:
            out[0] = out[0] + self.bias
        return [out[degree] for degree in self.outputs]


class Attention(nn.Module):
    """Equivariant graph attention with nonlinear messages."""

    def __init__(
        self,
        inside: list[int],
        outside: list[int],
        channels: list[int],
        settings: EquiformerSettings,
    ) -> None:
        super().__init__()
        self.heads, self.dropout = settings.heads, settings.attention_dropout
        self.from_sender = Mix(inside, channels)
        self.from_receiver = Mix(inside, channels, bias=False)
        # One linear layer gives what scores are made of, scalars, gates, and what is gated.
        wide = [channels[0] + sum(channels), *channels[1:]]
        self.message = Product(channels, wide, own_weights=False)
        self.radial = Radial(
            settings.basis_size, settings.radial_features, sum(self.message.channels)
        )
        per_head = channels[0] // settings.heads
        bound = math.sqrt(6 / (settings.heads + per_head))
        self.score = nn.Parameter(torch.empty(settings.heads, per_head).uniform_(-bound, bound))
        kept = [wide if out else 0 for wide, out in zip(channels, outside, strict=True)]
        self.value = Product(channels, kept, own_weights=True)
        self.project = Mix(channels, outside)

    def forward(self, x: list[Tensor], edges: Edges) -> list[Tensor]:
        """Return features of the degrees that are `outside`."""
        sent, own = self.from_sender(x), self.from_receiver(x)
        merged = [
            one.index_select(0, edges.sender) + other.index_select(0, edges.receiver)
            for one, other in zip(sent, own, strict=True)
        ]
        first, *others = self.message(merged, edges, self.radial(edges.basis))
        size = self.score.numel()
        hints, rest = first.split([size, first.shape[2] - size], dim=2)
        hints = _leaky(hints.reshape(-1, *self.score.shape)) * _unit(_leaky)
        weights = attention((hints * self.score).sum(2), edges.receiver, edges.atoms)
        weights = dropout(weights, self.dropout, self.training)
        values = self.value(_gated([rest, *others]), edges, None)
        summed = [
            received(
                (one.unflatten(2, (self.heads, -1)) * weights[:, None, :, None]).flatten(2),
                edges.receiver,
                edges.atoms,
            )
            for one in values
        ]
        return self.project(dict(zip(self.value.outputs, summed, strict=True)))


class Block(nn.Module):
    """Attention and a feed-forward network, each after a norm and beside what came in (fig. 1b)."""

    def __init__(
        self, channels: list[int], outside: list[int], settings: EquiformerSettings
    ) -> None:
        super().__init__()
        self.dropout, self.skipped = settings.feature_dropout, settings.stochastic_depth
        self.before_attention, self.before_expansion = Norm(channels), Norm(channels)
        self.attention = Attention(channels, channels, channels, settings)
        hidden = [settings.expansion * wide for wide in channels]
        self.expand = Mix(channels, [sum(hidden), *hidden[1:]])
        self.contract = Mix(hidden, outside)
        self.shortcut = Mix(channels, outside) if outside != channels else None

    def _branch(self, x: list[Tensor], batch: Batch) -> list[Tensor]:
        """Return a branch with channels dropped, and left out for some molecules."""
        if not self.training:
            return x
        if self.dropout:
            x = [one * dropout(torch.ones_like(one[:, :1]), self.dropout) for one in x]
        if self.skipped:
            kept = dropout(x[0].new_ones(batch.size, 1, 1), self.skipped)[batch.molecule]
            x = [one * kept for one in x]
        return x

    def forward(self, x: list[Tensor], edges: Edges, batch: Batch) -> list[Tensor]:
        """Return features with `outside` channels."""
        branch = self._branch(self.attention(self.before_attention(x), edges), batch)
        x = [one + change for one, change in zip(x, branch, strict=True)]
        branch = self.contract(_gated(self.expand(self.before_expansion(x))))
        x = x if self.shortcut is None else self.shortcut(x)
        return [one + c for one, c in zip(x, self._branch(branch, batch), strict=True)]


class Degree(nn.Module):
    """Embedding of where an atom's neighbours are (the paper's edge-degree embedding)."""

    def __init__(
        self, channels: list[int], mean_neighbours: float, settings: EquiformerSettings
    ) -> None:
        super().__init__()
        self.scale, wide = 1 / math.sqrt(mean_neighbours), channels[0]
        self.seed = nn.Parameter(torch.randn(wide))
        outputs = len(channels) * wide
        self.radial = Radial(settings.basis_size, settings.radial_features, outputs)
        self.mix = nn.ParameterList(_weights(wide, one) for one in channels)
        self.bias = nn.Parameter(torch.zeros(channels[0]))

    def forward(self, edges: Edges) -> list[Tensor]:
        """Return features of atoms."""
        out = []
        for d, part in enumerate(self.radial(edges.basis).chunk(len(self.mix), 1)):
            mixed = part @ (self.seed[:, None] * self.mix[d])
            mixed = mixed + self.bias if d == 0 else mixed
            turned = edges.harmonics[:, d**2 : (d + 1) ** 2, None] * mixed[:, None]
            out.append(self.scale * received(turned, edges.receiver, edges.atoms))
        return out


class Equiformer(Backbone):
    """Atoms in; scalars (N,F), vectors (N,3,F/2), energies and, unless by slope, forces out.

    As published, with these choices where a data set's variant decides: Gaussians for distances,
    the energy from scalars of the last block by a linear layer, SiLU and another one, forces by one
    more attention. Energies add up over atoms (published: divided by the square root of their mean
    number) and, as forces, are in units of the training set's force RMS. Neither distances nor
    attention fade out at the cutoff, so neither energy nor forces are continuous there.
    """

    Settings = EquiformerSettings
    about = About(
        title="Equiformer",
        source="Liao and Smidt 2023, arXiv:2206.11990",
        extra="e3nn",
        table8=({"layers": 4, "features": 128, "basis_size": 128, "cutoff": 4.5}, 32),
    )
    direct_forces = True
    own_readout = True
    smooth = False
    mirror = False

    def __init__(self, settings: EquiformerSettings, statistics: Statistics) -> None:
        super().__init__(settings, statistics)
        parts, degree = settings.heads * 2**settings.degree, settings.degree
        if settings.features % parts:
            raise UserError(f"backbone equiformer: 'features' is no multiple of {parts}")
        if settings.output_features % 2**degree:
            raise UserError(f"backbone equiformer: 'output_features' is no multiple of {2**degree}")
        channels = [settings.features // 2**d for d in range(degree + 1)]
        final = [settings.output_features // 2**d for d in range(degree + 1)]
        self.cutoff, self.scale = settings.cutoff, statistics.force_rms
        self.width, self.vector_width = final[0], final[1]
        self.embedding = nn.Embedding(MAX_ATOMIC_NUMBER + 1, channels[0])
        self.basis = GaussianBasis(settings.basis_size, settings.cutoff)
        self.matrices = _edge_matrices(degree)
        self.neighbours = Degree(channels, statistics.mean_neighbours, settings)
        last = settings.layers - 1
        self.blocks = nn.ModuleList(
            Block(channels, final if layer == last else channels, settings)
            for layer in range(settings.layers)
        )
        self.norm = Norm(final)
        self.readout = nn.ModuleList([Mix(final[:1], final[:1]), Mix(final[:1], [1])])
        self.direct_forces = settings.forces == "direct"  # type: ignore[misc]
        if self.direct_forces:
            self.force = Attention(final, [0, 1, *[0] * (degree - 1)], channels, settings)
        # What makes the last block's vectors, and those, no energy depends on.
        ends = [
            *("attention.value.mix", "attention.project.weights", "before_expansion.weights"),
            *("expand.weights", "contract.weights", "shortcut.weights"),
        ]
        unused = [f"backbone.blocks.{last}.{end}" for end in ends] + ["backbone.norm.weights"]
        if not self.direct_forces:
            spare = tuple(f"{name}.{d}" for name in unused for d in range(1, degree + 1))
            self.spare = spare  # type: ignore[misc]

    def forward(self, batch: Batch, graph: Graph) -> Features:
        """Return all that the network gives."""
        vectors = graph.vectors(batch.positions)
        distance = vectors[: len(graph.pairs)].norm(dim=1)
        harmonics, matrices = self.matrices(vectors)
        ends = (graph.receiver, graph.sender, graph.atoms)
        edges = Edges(*ends, self.basis(distance), harmonics, matrices)
        x = self.neighbours(edges)
        x[0] = x[0] + self.embedding(batch.atomic_numbers)[:, None]
        for block in self.blocks:
            x = block(x, edges, batch)
        x = self.norm(x)
        first, second = self.readout
        (hidden,) = first(x)
        (energy,) = second([silu(hidden) * _unit(silu)])
        forces = self.scale * self.force(x, edges)[0][:, :, 0] if self.direct_forces else None
        return Features(x[0][:, 0], x[1], self.scale * energy[:, 0, 0], forces)


BACKBONE = Equiformer
