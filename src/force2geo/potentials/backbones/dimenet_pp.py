"""DimeNet++ (Gasteiger et al. 2020): messages between edges, weighted by their angle."""

from __future__ import annotations

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
class DimeNetSettings:
    """Size of the network; defaults are the published ones."""

    layers: int = setting("interaction blocks", 4, least=1)
    features: int = setting("features of an edge", 128, least=2)
    basis_size: int = setting("Bessel functions of a distance", 6, least=1)
    cutoff: float = setting("Å within which atoms see each other", 5.0, above=0)
    orders: int = setting("orders l < orders of an angle's harmonics", 7, least=2)
    triplet_features: int = setting("features of an edge within triplets", 64, least=1)
    basis_features: int = setting("features that bases are compressed to", 8, least=1)
    output_features: int = setting("features of an atom", 256, least=2)
    output_layers: int = setting("hidden layers of a readout", 3, least=0)
    before_skip: int = setting("residual layers before a block's skip connection", 1, least=0)
    after_skip: int = setting("residual layers after it", 2, least=0)
    envelope_exponent: int = setting("the envelope's exponent p − 1", 5, least=2)


class Embedding(nn.Module):
    """First features of edges, of their atoms and their length (DimeNet, section 5)."""

    def __init__(self, settings: DimeNetSettings) -> None:
        super().__init__()
        features = settings.features
        self.atoms = uniform_embedding(MAX_ATOMIC_NUMBER + 1, features)
        self.radial = nn.Linear(settings.basis_size, features)
        self.joined = nn.Linear(3 * features, features)

    def forward(self, numbers: Tensor, radial: Tensor, graph: Graph) -> Tensor:
        """Return (E,F) of atomic numbers (N,) and the basis (E,K)."""
        atoms = self.atoms(numbers)
        ends = [atoms[graph.receiver], atoms[graph.sender]]
        return silu(self.joined(torch.cat([*ends, silu(self.radial(radial))], 1)))


class Interaction(nn.Module):
    """Interaction block (DimeNet++, figure 1, with the down- and up-projections of section 3)."""

    def __init__(self, settings: DimeNetSettings) -> None:
        super().__init__()
        features, small = settings.features, settings.basis_features
        self.radial = nn.Sequential(
            linear(settings.basis_size, small, False), linear(small, features, False)
        )
        self.angular = nn.Sequential(
            linear(settings.orders * settings.basis_size, small, False),
            linear(small, settings.triplet_features, False),
        )
        self.sent, self.kept = linear(features, features), linear(features, features)
        self.down = linear(features, settings.triplet_features, False)
        self.up = linear(settings.triplet_features, features, False)
        self.before = nn.Sequential(*(Residual(features) for _ in range(settings.before_skip)))
        self.skip = linear(features, features)
        self.after = nn.Sequential(*(Residual(features) for _ in range(settings.after_skip)))

    def forward(
        self, edges: Tensor, radial: Tensor, bessel: Tensor, angles: Tensor, around: Around
    ) -> Tensor:
        """Return (E,F) of edges (E,F), bases (E,K) and (E,L,K), and harmonics (N,D,D·L).

        An edge j → i gets Σ_k Σ_l Y_l(∠kji) x_kjl. The layers between basis and message have no
        bias and no activation, so that they are taken on edges before anything is on triplets,
        which are a product of matrices for each atom j.
        """
        sent = silu(self.down(silu(self.sent(edges)) * self.radial(radial)))
        first, second = cast("tuple[nn.Linear, nn.Linear]", self.angular)
        weight = first.weight.view(-1, *bessel.shape[1:])
        filters = torch.einsum("elk,olk->elo", bessel, weight)
        of_order = (second(filters) * sent[:, None]).flatten(1)
        atoms, widest = around.present.shape
        table = around.spread(of_order).view(atoms, widest * bessel.shape[1], -1)
        summed = around.turned(angles @ table)
        x = self.before(silu(self.kept(edges)) + silu(self.up(summed)))
        return self.after(silu(self.skip(x)) + edges)


class Output(nn.Module):
    """Output block (DimeNet++, figure 1)."""

    def __init__(self, settings: DimeNetSettings) -> None:
        super().__init__()
        self.radial = linear(settings.basis_size, settings.features, False)
        self.readout = EdgeReadout(
            settings.features, settings.output_features, settings.output_layers, bias=False
        )

    def forward(self, edges: Tensor, radial: Tensor, graph: Graph) -> tuple[Tensor, Tensor]:
        """Return features (N,O) and energies (N,) of atoms."""
        return self.readout(self.radial(radial) * edges, graph.receiver, graph.atoms)


class DimeNetPP(Backbone):
    """Atoms in, scalars (N,O) and energies out: sums over the output blocks.

    As in the published code the angle is that of the vectors k → j and j → i, and not of j → k
    and j → i as in DimeNet. The last layers start as orthogonal ones, not as zeros.
    """

    Settings = DimeNetSettings
    about = About(
        title="DimeNet++",
        source="Gasteiger et al. 2020, arXiv:2011.14115; DimeNet: arXiv:2003.03123",
    )
    own_readout = True

    def __init__(self, settings: DimeNetSettings, statistics: Statistics) -> None:
        super().__init__(settings, statistics)
        self.cutoff, self.width = settings.cutoff, settings.output_features
        self.orders = settings.orders
        size, layers = settings.basis_size, settings.layers
        self.radial = RadialBessel(size, settings.cutoff, settings.envelope_exponent)
        self.bessel = SphericalBessel(settings.orders, size, settings.cutoff)
        self.embedding = Embedding(settings)
        self.interactions = nn.ModuleList(Interaction(settings) for _ in range(layers))
        self.outputs = nn.ModuleList(Output(settings) for _ in range(layers + 1))

    def forward(self, batch: Batch, graph: Graph) -> Features:
        """Return scalars (N,O) and atomic energies (N,)."""
        distance, direction = polar(graph.vectors(batch.positions))
        around = Around.of(graph)
        radial = self.radial(distance)
        envelope = self.radial.envelope(distance / self.cutoff)
        bessel = self.bessel(distance) * envelope[:, None, None]
        angles = self._angles(around.spread(direction))
        edges = self.embedding(batch.atomic_numbers, radial, graph)
        scalars, energy = self.outputs[0](edges, radial, graph)
        for interaction, output in zip(self.interactions, self.outputs[1:], strict=True):
            edges = interaction(edges, radial, bessel, angles, around)
            more, of_block = output(edges, radial, graph)
            scalars, energy = scalars + more, energy + of_block
        return Features(scalars, atomic_energy=energy)

    def _angles(self, direction: Tensor) -> Tensor:
        """Return (N,D,D·L) harmonics of the angles between directions (N,D,3) at each atom.

        Those of an edge with itself are zero: it sends itself nothing back.
        """
        atoms, widest, _ = direction.shape
        values = zonal(-direction @ direction.transpose(1, 2), self.orders)
        others = ~torch.eye(widest, dtype=torch.bool, device=direction.device)
        return (values * others[:, :, None]).view(atoms, widest, widest * self.orders)


BACKBONE = DimeNetPP
