"""SphereNet (Liu et al. 2022): messages between edges, weighted by distance, angle and torsion."""

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
    EdgeReadout,
    RadialBessel,
    Residual,
    SphericalBessel,
    harmonics,
    linear,
    polar,
    uniform_embedding,
    zonal,
)
from force2geo.settings import setting

if TYPE_CHECKING:
    from force2geo.potentials.batch import Batch
    from force2geo.potentials.graph import Graph


@dataclass(frozen=True)
class SphereNetSettings:
    """Size of the network; defaults are the published ones."""

    layers: int = setting("interaction blocks", 4, least=1)
    features: int = setting("features of an edge", 128, least=2)
    basis_size: int = setting("Bessel functions of a distance", 6, least=1)
    cutoff: float = setting("Å within which atoms see each other", 5.0, above=0)
    orders: int = setting("orders l < orders of the spherical harmonics", 7, least=2)
    triplet_features: int = setting("features of an edge within triplets", 64, least=1)
    basis_features: int = setting("features that each basis is compressed to", 8, least=1)
    output_features: int = setting("features of an atom", 256, least=2)
    output_layers: int = setting("hidden layers of a readout", 3, least=0)
    before_skip: int = setting("residual layers before a block's skip connection", 1, least=0)
    after_skip: int = setting("residual layers after it", 2, least=0)
    envelope_exponent: int = setting("the envelope's exponent p − 1", 5, least=2)


@dataclass(frozen=True)
class Sphere:
    """Bases of edges and triplets k → j → i, N atoms j with D neighbours k and i.

    `radial` (E,K); `bessel` (E,L,K); `zonal` (N·D,D,L) and `harmonics` (N·D,D,L²), each row an
    edge k → j and each column an atom i, zero where i is k.
    """

    radial: Tensor
    bessel: Tensor
    zonal: Tensor
    harmonics: Tensor


def next_round(direction: Tensor, cosine: Tensor) -> tuple[Tensor, Tensor]:
    """Return sin θ cos φ and sin θ sin φ (N,D,D) of atoms k (rows) about each axis j → i (columns).

    `direction` (N,D,3) is from j to its neighbours, `cosine` (N,D,D) between any two. φ is the
    angle by which one turns, in the positive sense about the axis, from k to the next neighbour
    of j (SphereNet, section 3.2: the reference q). Neighbours in one half-plane with k, up to
    rounding, do not count: which of them were next would be chance in a planar molecule. Of
    several that are next, the mean is taken. An atom on the axis has no φ and is no reference.
    (The published code compares k with itself, too, and takes it where rounding makes that angle
    positive, which is as good as half of all.)
    """
    across = direction[:, :, None] - cosine[..., None] * direction[:, None]
    tolerance = torch.finfo(direction.dtype).eps ** 0.5
    square = across.square().sum(-1)
    off_axis = square > tolerance**2
    length = torch.where(off_axis, square, 1).sqrt()
    unit = across * (off_axis / length)[..., None]
    axis = direction[:, None].expand_as(unit)
    with torch.no_grad():
        first = off_axis.int().argmax(1, keepdim=True)[..., None].expand(-1, 1, -1, 3)
        zero = unit.gather(1, first).expand_as(unit)
        turn = torch.atan2((zero.cross(unit, -1) * axis).sum(-1), (zero * unit).sum(-1))
        turn = torch.where(turn < -tolerance, turn + 2 * math.pi, turn)
        turn, order = turn.masked_fill(~off_axis, math.inf).sort(1)
        # Atoms of one half-plane share a number; those on the axis come last.
        is_new = turn.diff(dim=1, prepend=turn[:, :1]) > tolerance
        planes = (is_new & turn.isfinite()).sum(1, keepdim=True) + 1
        plane = torch.empty_like(order).scatter(1, order, is_new.cumsum(1))
        following = ((plane + 1) % planes)[..., None].expand_as(unit)
        held = torch.zeros_like(square).scatter_add(1, plane, off_axis.to(square))
    summed = torch.zeros_like(unit).scatter_add(1, plane[..., None].expand_as(unit), unit)
    mean = summed / held.clamp_min(1)[..., None]
    reference = mean.gather(1, following) * off_axis[..., None]
    return (across * reference).sum(-1), (across.cross(reference, -1) * axis).sum(-1)


def bessel_orders(orders: int) -> list[int]:
    """Return the order of the Bessel functions that go with each harmonic (L²), m from −l on.

    The paper's eq. 4 has l for Y_lm. The published code lays harmonics out as 0, 1 … l, −l … −1
    and takes the place in that list modulo L; so does this.
    """
    places = [
        order**2 + (m if m >= 0 else 2 * order + 1 + m)
        for order in range(orders)
        for m in range(-order, order + 1)
    ]
    return [place % orders for place in places]


class Embedding(nn.Module):
    """First messages of edges, of their atoms and their length."""

    def __init__(self, settings: SphereNetSettings) -> None:
        super().__init__()
        features = settings.features
        self.atoms = uniform_embedding(MAX_ATOMIC_NUMBER + 1, features)
        self.radial = nn.Linear(settings.basis_size, features)
        self.joined = nn.Linear(3 * features, features)
        self.gate = linear(settings.basis_size, features, False)

    def forward(self, numbers: Tensor, radial: Tensor, graph: Graph) -> tuple[Tensor, Tensor]:
        """Return the messages (E,F), and what atoms read of them (E,F)."""
        atoms = self.atoms(numbers)
        ends = [atoms[graph.receiver], atoms[graph.sender]]
        edges = silu(self.joined(torch.cat([*ends, silu(self.radial(radial))], 1)))
        return edges, self.gate(radial) * edges


class Interaction(nn.Module):
    """Update of messages (SphereNet, section 3.3 and figure 6)."""

    order: Tensor

    def __init__(self, settings: SphereNetSettings) -> None:
        super().__init__()
        features, small = settings.features, settings.basis_features
        size, orders, inner = settings.basis_size, settings.orders, settings.triplet_features
        self.radial = nn.Sequential(linear(size, small, False), linear(small, features, False))
        self.angular = nn.Sequential(
            linear(orders * size, small, False), linear(small, inner, False)
        )
        self.torsional = nn.Sequential(
            linear(orders**2 * size, small, False), linear(small, inner, False)
        )
        self.sent, self.kept = linear(features, features), linear(features, features)
        self.down, self.up = linear(features, inner, False), linear(inner, features, False)
        self.before = nn.Sequential(*(Residual(features) for _ in range(settings.before_skip)))
        self.skip = linear(features, features)
        self.after = nn.Sequential(*(Residual(features) for _ in range(settings.after_skip)))
        self.gate = linear(size, features, False)
        self.register_buffer("order", torch.tensor(bessel_orders(orders)), persistent=False)

    def forward(self, edges: Tensor, sphere: Sphere, around: Around) -> tuple[Tensor, Tensor]:
        """Return the messages (E,F) of messages (E,F), and what atoms read of them (E,F)."""
        radial, bessel = sphere.radial, sphere.bessel
        sent = silu(self.down(silu(self.sent(edges)) * self.radial(radial)))
        # Layers without bias and activation are taken on edges before anything is on triplets.
        first, second = cast("tuple[nn.Linear, nn.Linear]", self.angular)
        weight = first.weight.view(-1, *bessel.shape[1:])
        of_angle = second(torch.einsum("elk,olk->elo", bessel, weight)) * sent[:, None]
        first, second = cast("tuple[nn.Linear, nn.Linear]", self.torsional)
        spread = bessel[:, self.order]
        weight = first.weight.view(-1, *spread.shape[1:])
        of_torsion = torch.einsum("eqk,oqk->eqo", spread, weight)
        angular = sphere.zonal @ self._table(of_angle, around)
        torsional = second(sphere.harmonics @ self._table(of_torsion, around))
        atoms, widest = around.present.shape
        summed = (angular * torsional).view(atoms, widest, widest, -1).sum(1)
        x = self.before(silu(self.kept(edges)) + silu(self.up(around.turned(summed))))
        edges = self.after(silu(self.skip(x)) + edges)
        return edges, self.gate(radial) * edges

    @staticmethod
    def _table(values: Tensor, around: Around) -> Tensor:
        """Return (N·D,L,C) of values of edges (E,L,C)."""
        return around.spread(values.flatten(1)).view(-1, *values.shape[1:])


class SphereNet(Backbone):
    """Atoms in, scalars (N,O) and energies out: sums over the readouts.

    A molecule and its mirror image differ, for torsions turn one way. Energies jump where an atom
    becomes another's reference: torsions know no cutoff.
    """

    Settings = SphereNetSettings
    about = About(title="SphereNet", source="Liu et al. 2022, arXiv:2102.05013")
    smooth = False
    mirror = False
    own_readout = True

    def __init__(self, settings: SphereNetSettings, statistics: Statistics) -> None:
        super().__init__(settings, statistics)
        self.cutoff, self.width = settings.cutoff, settings.output_features
        self.orders = settings.orders
        size, layers = settings.basis_size, settings.layers
        self.radial = RadialBessel(size, settings.cutoff, settings.envelope_exponent)
        self.bessel = SphericalBessel(settings.orders, size, settings.cutoff)
        self.embedding = Embedding(settings)
        self.interactions = nn.ModuleList(Interaction(settings) for _ in range(layers))
        sizes = settings.features, settings.output_features, settings.output_layers
        self.readouts = nn.ModuleList(EdgeReadout(*sizes, bias=True) for _ in range(layers + 1))

    def forward(self, batch: Batch, graph: Graph) -> Features:
        """Return scalars (N,O) and atomic energies (N,)."""
        around = Around.of(graph)
        sphere = self._sphere(graph.vectors(batch.positions), around)
        edges, read = self.embedding(batch.atomic_numbers, sphere.radial, graph)
        scalars, energy = self.readouts[0](read, graph.receiver, graph.atoms)
        for interaction, readout in zip(self.interactions, self.readouts[1:], strict=True):
            edges, read = interaction(edges, sphere, around)
            more, of_block = readout(read, graph.receiver, graph.atoms)
            scalars, energy = scalars + more, energy + of_block
        return Features(scalars, atomic_energy=energy)

    def _sphere(self, vectors: Tensor, around: Around) -> Sphere:
        """Return the bases of edge vectors (E,3) (SphereNet, eqs 4 and 5)."""
        distance, direction = polar(vectors)
        direction = around.spread(direction)
        cosine = direction @ direction.transpose(1, 2)
        x, y = next_round(direction, cosine)
        others = ~torch.eye(cosine.shape[1], dtype=torch.bool, device=cosine.device)
        return Sphere(
            self.radial(distance),
            self.bessel(distance),
            (zonal(cosine, self.orders) * others[:, :, None]).flatten(0, 1),
            harmonics(x, y, cosine, self.orders).flatten(0, 1),
        )


BACKBONE = SphereNet
