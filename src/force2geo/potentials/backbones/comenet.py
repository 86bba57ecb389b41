"""ComENet (Wang et al. 2022): messages between atoms, angles against their nearest neighbours."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from force2geo.elements import MAX_ATOMIC_NUMBER
from force2geo.potentials.backbone import About, Backbone, Features, Statistics
from force2geo.potentials.spherical import (
    Around,
    SphericalBessel,
    harmonics,
    polar,
    sum_into,
    uniform_embedding,
    zonal,
)
from force2geo.settings import setting

if TYPE_CHECKING:
    from force2geo.potentials.batch import Batch
    from force2geo.potentials.graph import Graph


@dataclass(frozen=True)
class ComENetSettings:
    """Size of the network; defaults are the published ones."""

    layers: int = setting("interaction blocks", 4, least=1)
    features: int = setting("features of an atom", 256, least=2)
    basis_size: int = setting("Bessel functions of a distance", 3, least=1)
    cutoff: float = setting("Å within which atoms see each other", 8.0, above=0)
    orders: int = setting("orders l < orders of the spherical harmonics", 2, least=1)
    basis_features: int = setting("features that bases are compressed to", 64, least=1)
    output_layers: int = setting("hidden layers of a block, and of the readout", 3, least=0)
    half_turns: bool = setting(
        "whether torsions count modulo π, as in the published code, and not modulo 2π", True
    )


def glorot(inputs: int, outputs: int, bias: bool = True) -> nn.Linear:
    """Return a layer with Glorot's uniform weights and no bias to start with."""
    layer = nn.Linear(inputs, outputs, bias)
    nn.init.xavier_uniform_(layer.weight)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


def nearest(distance: Tensor, around: Around) -> tuple[Tensor, Tensor]:
    """Return for each atom (N,) the edges from its nearest and its second nearest neighbour.

    An atom with one neighbour has it twice; of one without any the answer means nothing.
    """
    atoms, widest = around.present.shape
    with torch.no_grad():
        table = distance.new_full((atoms * widest,), math.inf).scatter(0, around.place, distance)
        edge = around.place.new_zeros(atoms * widest)
        edge = edge.scatter(0, around.place, torch.arange(len(distance), device=edge.device))
        found, place = table.view(atoms, widest).topk(min(2, widest), largest=False)
        edges = edge.view(atoms, widest).gather(1, place)
        return edges[:, 0], torch.where(found[:, -1].isinf(), edges[:, 0], edges[:, -1])


def off_axis(vectors: Tensor, axis: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the parts (E,3) of unit vectors across an axis, their lengths (E,) and directions.

    Where a vector is along the axis both are zero, and so are their slopes.
    """
    across = vectors - (vectors * axis).sum(1, keepdim=True) * axis
    square = across.square().sum(1)
    some = square > torch.finfo(square.dtype).eps
    length = torch.where(some, square, 1).sqrt()
    return across, length * some, across * (some / length)[:, None]


def within_half_turn(sine: Tensor) -> Tensor:
    """Return (E,) −1 where an angle of (−π,0) is to be taken by π further, otherwise 1.

    Angles of 0 and π stay what they are, whatever rounding makes of them. In the published code
    it decides whether π, that of two atoms with one nearest neighbour, becomes 0.
    """
    small = torch.finfo(sine.dtype).eps ** 0.5
    return 1 - 2 * (sine < -small).to(sine)


class GraphNorm(nn.Module):
    """Atoms' features against their mean and deviation in a molecule (Cai et al. 2021)."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(features))
        self.bias = nn.Parameter(torch.zeros(features))
        self.mean_scale = nn.Parameter(torch.ones(features))

    def forward(self, x: Tensor, batch: Batch) -> Tensor:
        """Return (N,F)."""
        count = batch.atoms_per_molecule[:, None]
        mean = sum_into(x, batch.molecule, batch.size) / count
        x = x - (mean * self.mean_scale)[batch.molecule]
        variance = sum_into(x.square(), batch.molecule, batch.size) / count
        return self.weight * x / (variance + 1e-5).sqrt()[batch.molecule] + self.bias


class Convolution(nn.Module):
    """Sum over neighbours under filters of a basis, beside the atom itself."""

    def __init__(self, features: int, inputs: int, small: int) -> None:
        super().__init__()
        self.filters = nn.Sequential(glorot(inputs, small, False), glorot(small, features, False))
        self.neighbours = nn.Linear(features, features)
        self.own = nn.Linear(features, features, bias=False)
        self.after = glorot(features, features)

    def forward(self, x: Tensor, seen: Tensor) -> Tensor:
        """Return (N,F) of (N,F) and what atoms see of it under each function of a basis (N,Q,F).

        The filters' layers have no bias and no activation: they are one matrix, which is applied
        to sums over neighbours.
        """
        first, second = cast("tuple[nn.Linear, nn.Linear]", self.filters)
        summed = (seen * (second.weight @ first.weight).t()).sum(1)
        return silu(self.after(self.neighbours(summed) + self.own(x)))


class Interaction(nn.Module):
    """Interaction block (ComENet, figure 3)."""

    def __init__(self, settings: ComENetSettings) -> None:
        super().__init__()
        features, small = settings.features, settings.basis_features
        inputs = settings.basis_size * settings.orders
        self.sizes = [inputs * settings.orders, inputs]
        self.before = glorot(features, features)
        self.local = Convolution(features, inputs * settings.orders, small)
        self.torsional = Convolution(features, inputs, small)
        self.joined = glorot(2 * features, features)
        self.hidden = nn.ModuleList(
            glorot(features, features) for _ in range(settings.output_layers)
        )
        self.norm = GraphNorm(features)
        self.last = glorot(features, features)

    def forward(self, x: Tensor, bases: Tensor, senders: Tensor, batch: Batch) -> Tensor:
        """Return (N,F) of (N,F), both bases (N,Q,D) side by side and the neighbours (N,D)."""
        x = silu(self.before(x))
        seen = bases @ x[senders]
        local, torsional = seen.split(self.sizes, 1)
        h = self.joined(torch.cat([self.local(x, local), self.torsional(x, torsional)], 1)) + x
        for layer in self.hidden:
            h = silu(layer(h)) + h
        return cast("Tensor", self.last(self.norm(h, batch)))


class ComENet(Backbone):
    """Atoms in, scalars (N,F) and energies out.

    Energies jump where an atom's nearest neighbours change and, with `half_turns`, where a
    torsion passes 0; where two neighbours are equally near by symmetry, but for a reflection, it
    is left to rounding which is the nearer. A molecule and its mirror image differ. Atoms know
    all others of their molecule through its norm. The published code takes φ of each edge from a
    second nearest neighbour from rounding errors; that φ is 0 here.
    """

    Settings = ComENetSettings
    about = About(title="ComENet", source="Wang et al. 2022, arXiv:2206.08515")
    smooth = False
    mirror = False
    whole_molecule = True
    own_readout = True

    def __init__(self, settings: ComENetSettings, statistics: Statistics) -> None:
        super().__init__(settings, statistics)
        self.cutoff, self.width = settings.cutoff, settings.features
        self.orders, self.half_turns = settings.orders, settings.half_turns
        features = settings.features
        self.embedding = uniform_embedding(MAX_ATOMIC_NUMBER + 1, features)
        self.bessel = SphericalBessel(settings.orders, settings.basis_size, settings.cutoff)
        self.interactions = nn.ModuleList(Interaction(settings) for _ in range(settings.layers))
        self.hidden = nn.ModuleList(
            glorot(features, features) for _ in range(settings.output_layers)
        )
        self.last = glorot(features, 1)

    def forward(self, batch: Batch, graph: Graph) -> Features:
        """Return scalars (N,F) and atomic energies (N,)."""
        around = Around.of(graph)
        bases = self._bases(graph.vectors(batch.positions), graph, around)
        # Where a place is empty the bases are zero, so that any atom may stand there.
        table = around.spread(torch.cat([basis.flatten(1) for basis in bases], 1)).transpose(1, 2)
        senders = around.place.new_zeros(around.present.numel())
        senders = senders.scatter(0, around.place, graph.sender).view_as(around.present)
        x = silu(self.embedding(batch.atomic_numbers))
        for interaction in self.interactions:
            x = interaction(x, table, senders, batch)
        for layer in self.hidden:
            x = silu(layer(x))
        return Features(x, atomic_energy=self.last(x)[:, 0])

    def _bases(self, vectors: Tensor, graph: Graph, around: Around) -> tuple[Tensor, Tensor]:
        """Return the bases of edges j → i: (E,L²,K) of (d,θ,φ) and (E,L,K) of (d,τ).

        ComENet, section 3.1: θ and φ are against i's nearest neighbours, τ about the edge between
        the nearest of i and of j that is not the edge's own atom.
        """
        distance, axis = polar(vectors)
        first, second = nearest(distance, around)
        receiver, sender = graph.receiver, graph.sender
        # In an atom's own neighbours no edge is found twice, so that edges stand for atoms.
        of_i, of_j = first[receiver], first[sender]
        beside_i = torch.where(sender[of_i] == sender, second[receiver], of_i)
        beside_j = torch.where(sender[of_j] == receiver, second[sender], of_j)

        across, length, _ = off_axis(axis[of_i], axis)
        _, some, reference = off_axis(axis[second[receiver]], axis)
        # Without a second direction φ is 0.
        x = torch.where(some > 0, (across * reference).sum(1), length)
        y = (across.cross(reference, 1) * axis).sum(1)
        z = -(axis[of_i] * axis).sum(1)
        _, some_i, at_i = off_axis(axis[beside_i], axis)
        _, some_j, at_j = off_axis(axis[beside_j], axis)
        both = (some_i > 0) & (some_j > 0)
        cosine = torch.where(both, -(at_i * at_j).sum(1), 1)
        if self.half_turns:
            with torch.no_grad():
                turn = within_half_turn(y / torch.where(length > 0, length, 1))
                turn_tau = within_half_turn(-(at_j.cross(at_i, 1) * axis).sum(1))
            x, y, cosine = turn * x, turn * y, turn_tau * cosine

        bessel = self.bessel(distance)
        order = [one for one in range(self.orders) for _ in range(2 * one + 1)]
        local = bessel[:, order] * harmonics(x, y, z, self.orders)[..., None]
        return local, bessel * zonal(cosine, self.orders)[..., None]


BACKBONE = ComENet
