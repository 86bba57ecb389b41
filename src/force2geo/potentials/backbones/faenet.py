"""FAENet (Duval et al. 2023): a network without symmetries, averaged over frames.

Written from the paper: its package needs torch-scatter's compiled code to be imported. The message
passing is the one called "simple".
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, silu

from force2geo.elements import MAX_ATOMIC_NUMBER
from force2geo.potentials.backbone import About, Backbone, Features, Statistics
from force2geo.potentials.fast.radial import Excited, GaussianBasis
from force2geo.settings import setting

if TYPE_CHECKING:
    from force2geo.potentials.batch import Batch
    from force2geo.potentials.graph import Graph

# Gaps of eigenvalues below this part of their sum count as about that much.
_NEAR = 1e-4


@dataclass(frozen=True)
class FAENetSettings:
    """Size of the network, and its frames."""

    layers: int = setting("interaction blocks", least=1)
    features: int = setting("features of an atom and of an edge", least=4)
    basis_size: int = setting("Gaussians of a distance", 50, least=2)
    cutoff: float = setting("Å within which atoms see each other", above=0)
    frames: Literal["full", "stochastic", "none"] = setting(
        "what is averaged over: all frames of a molecule; in training one of them, drawn anew each "
        "time by torch's generator, and all of them otherwise; or nothing, and predictions then "
        "depend on how a molecule lies",
        "full",
    )
    reflections: bool = setting(
        "whether frames may be mirrored: eight of E(3), four of SE(3) without", True
    )


class _Axes(torch.autograd.Function):
    """Eigenvalues (B,3), ascending, and eigenvectors (B,3,3), in columns, of symmetric matrices.

    The slope of eigenvectors has one over the gaps of eigenvalues in it. Here it is finite for
    any gap, zero at none, and differentiable itself.
    """

    @staticmethod
    def forward(ctx: Any, matrices: Tensor) -> tuple[Tensor, Tensor]:
        # A molecule with a position that is no number spoils itself, not the solver.
        exact = torch.nan_to_num(matrices.double(), 0.0, 0.0, 0.0)
        values, axes = (found.to(matrices.dtype) for found in torch.linalg.eigh(exact))
        ctx.save_for_backward(values, axes)
        return values, axes

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> Tensor:
        values, axes = ctx.saved_tensors
        by_values, by_axes = slopes
        gaps = values[:, None, :] - values[:, :, None]
        near = _NEAR * (1 + values.sum(1).abs())[:, None, None]
        inner = axes.mT @ by_axes * gaps / (gaps**2 + near**2) + torch.diag_embed(by_values)
        slope = axes @ inner @ axes.mT
        return (slope + slope.mT) / 2


def principal_axes(apart: Tensor, molecule: Tensor, molecules: int) -> Tensor:
    """Return (B,3,3) axes in columns: eigenvectors of the covariance of (N,3) centred positions.

    The longest comes first, the third completes a right-handed frame.
    """
    outer = (apart[:, :, None] * apart[:, None, :]).flatten(1)
    covariance = outer.new_zeros(molecules, 9).index_add(0, molecule, outer)
    _, axes = _Axes.apply(covariance.view(-1, 3, 3))
    short, middle, long = axes.unbind(2)
    handed = (torch.linalg.cross(long, middle) * short).sum(1, keepdim=True).detach().sign()
    return torch.stack([long, middle, handed * short], dim=2)


class Embedding(nn.Module):
    """Features of an atom: of its element, and a quarter each of its period and its group."""

    places: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        quarter = features // 4
        self.element = nn.Embedding(MAX_ATOMIC_NUMBER + 1, features - 2 * quarter)
        places = torch.tensor([_place(number) for number in range(MAX_ATOMIC_NUMBER + 1)])
        self.register_buffer("places", places, persistent=False)
        self.period = nn.Embedding(8, quarter)
        self.group = nn.Embedding(20, quarter)
        self.mix = nn.Sequential(
            nn.Linear(features, features), nn.SiLU(), nn.Linear(features, features), nn.SiLU()
        )

    def forward(self, numbers: Tensor) -> Tensor:
        """Return (N,F) of atomic numbers (N,)."""
        period, group = self.places[numbers].unbind(1)
        parts = [self.element(numbers), self.period(period), self.group(group)]
        return cast("Tensor", self.mix(torch.cat(parts, dim=1)))


def _place(number: int) -> tuple[int, int]:
    """Return an element's period, and its group from 1 to 18, or 19 in the f-block."""
    ends = (0, 2, 10, 18, 36, 54, 86, 118)
    if number == 0:
        return 0, 0
    period = next(row for row, end in enumerate(ends) if number <= end)
    place, length = number - ends[period - 1], ends[period] - ends[period - 1]
    if place <= (1 if length == 2 else 2):
        return period, place
    if length == 32 and place <= 16:
        return period, 19
    return period, place + 18 - length


class EdgeEmbedding(nn.Module):
    """Features of an edge, half of its vector's components and half of its length."""

    def __init__(self, features: int, basis_size: int) -> None:
        super().__init__()
        self.of_vector = nn.Linear(3, features // 2)
        self.of_length = nn.Linear(basis_size, features - features // 2)
        self.mix = nn.Linear(features, features)

    def forward(self, vectors: Tensor, radial: Excited, opposite: bool) -> Tensor:
        """Return (E,S,F) of vectors (E,3) in S frames, (E,S,3), and radial functions of pairs.

        With `opposite` vectors are those of the first half of edges alone, and frame s from the
        end is frame s turned round, in which an edge is what it is turned round in frame s.
        """
        half, weight = self.of_vector.out_features, self.mix.weight
        directed = linear(silu(self.of_vector(vectors)), weight[:, :half])
        # The length is the same in all frames and directions.
        of_length = silu(radial.through(self.of_length))
        length = linear(of_length, weight[:, half:], self.mix.bias)[:, None]
        if opposite:
            edges = silu(directed + length)
            return torch.cat([edges, edges.flip(1)])
        return silu(directed + torch.cat([length, length]))


class FAENet(Backbone):
    """Atoms in; scalars (N,F), vectors (N,3,F//3) and atomic energies (N,) out.

    The frames are the principal axes of a molecule's atoms, each in both directions. Predictions
    are those of the average over frames; forces are its whole slope, in which the axes turn along.
    They are continuous as long as no two principal moments cross: where they are equal, as in
    symmetric tops, the axes are any two in their plane and energies depend on which; forces are
    finite there, but no slope of anything. Linear molecules and lone atoms have no atom that would
    tell, and are exact. Adding an atom far away turns the axes: energies are extensive only as far
    as the network has learned not to mind turns.

    Unlike the package's defaults there is no normalisation over all atoms of a batch, by which a
    molecule's energy depends on its company, no constant of a molecule beside its atoms' energies,
    and no table of elements' physical properties.
    """

    Settings = FAENetSettings
    own_readout = True
    smooth = False
    whole_molecule = True
    about = About(
        title="FAENet",
        source="Duval et al. 2023, arXiv:2305.05577",
        table8=({"layers": 4, "features": 128, "basis_size": 50, "cutoff": 4.5}, 64),
    )
    signs: Tensor

    def __init__(self, settings: FAENetSettings, statistics: Statistics) -> None:
        super().__init__(settings, statistics)
        features, layers = settings.features, settings.layers
        self.frames, self.cutoff, self.width = settings.frames, settings.cutoff, features
        self.vector_width = features // 3
        # Sorted so that the signs from the end are those from the beginning turned round.
        signs = [s for s in product((1, -1), repeat=3) if settings.reflections or prod(s) == 1]
        if settings.frames == "none":
            signs = [(1, 1, 1)]
        self.register_buffer("signs", torch.tensor(signs, dtype=torch.float32), persistent=False)
        self.scale = statistics.force_rms
        self.embedding = Embedding(features)
        self.basis = GaussianBasis(settings.basis_size, settings.cutoff)
        self.edges = EdgeEmbedding(features, settings.basis_size)
        self.updates = nn.ModuleList(nn.Linear(features, features) for _ in range(layers))
        self.readout = nn.Sequential(
            nn.Linear(features, features // 2), nn.SiLU(), nn.Linear(features // 2, 1)
        )
        self.weigh = nn.Linear(layers + 1, 1, bias=False)
        mixing = self.embedding.mix[0], self.embedding.mix[2], self.edges.of_vector, self.edges.mix
        for layer in cast("list[nn.Linear]", [*mixing, *self.updates]):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, batch: Batch, graph: Graph) -> Features:
        """Return scalars, vectors, and atomic energies in eV."""
        pairs, positions = graph.pairs, batch.positions
        radial = self.basis(pairs.vectors(positions).norm(dim=1), pairs)
        turned, turn = self._turned(batch)
        signs = self._signs(batch)
        own = signs if signs.dim() == 2 else signs[batch.molecule]  # (S,3) or (N,1,3)
        opposite = len(self.signs) == 8 and signs.dim() == 2
        along = pairs.vectors(turned) if opposite else graph.vectors(turned)
        seen = own if signs.dim() == 2 else own[graph.receiver]
        edges = self.edges(along[:, None] * seen, radial, opposite).flatten(1)

        shape = (graph.atoms, edges.shape[1] // self.width, self.width)
        h = self.embedding(batch.atomic_numbers)[:, None].expand(shape)
        energies = [self.readout(h)]
        for update in self.updates:
            sent = h.flatten(1).index_select(0, graph.sender) * edges
            received = sent.new_zeros(graph.atoms, sent.shape[1])
            received = received.index_add(0, graph.receiver, sent).view(shape)
            h = h + silu(update(received))
            energies.append(self.readout(h))
        atomic = self.weigh(torch.cat(energies, dim=2)).mean(dim=(1, 2))

        # Three features of an atom in a frame are a vector's components along its axes.
        along = h[:, :, : 3 * self.vector_width].unflatten(2, (3, self.vector_width))
        vectors = (along * own[..., None]).mean(1)
        if turn is not None:
            vectors = turn @ vectors
        return Features(h.mean(1), vectors, self.scale * atomic)

    def _turned(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Return positions (N,3) along their molecule's axes, and the axes (N,3,3) of atoms."""
        if self.frames == "none":
            return batch.positions, None
        molecule, counts = batch.molecule, batch.atoms_per_molecule
        centre = batch.positions.new_zeros(batch.size, 3).index_add(0, molecule, batch.positions)
        apart = batch.positions - (centre / counts[:, None])[molecule]
        turn = principal_axes(apart, molecule, batch.size)[molecule]
        return (apart[:, None] @ turn)[:, 0], turn

    def _signs(self, batch: Batch) -> Tensor:
        """Return signs (S,3) of the axes in all frames, or (B,1,3) in those that are drawn."""
        if self.frames != "stochastic" or not self.training:
            return self.signs
        drawn = torch.randint(len(self.signs), (batch.size,), device=self.signs.device)
        return self.signs[drawn][:, None]


BACKBONE = FAENet
