"""Uni-Mol+ (Lu et al. 2024): a transformer of atoms and pairs that moves the atoms as it goes.

Every molecule has a virtual atom in front of its own, which the prediction is read from. All atoms
of a molecule see each other. What differs from the published network, and why:

- One projection makes the three components of a movement, where the published code has one for
  each of x, y and z, so that energies do not depend on how a molecule is turned.
- Distances and movements are differentiated, not detached, so that there are forces.
- Means over a molecule are by its own size, not by that of the largest one in the batch.
- Batches have no bonds, so the tables of degrees, shortest paths and kinds of bonds are left out.
- Last layers of a residual branch start small, not at zero, where forces would be nothing.

No distance ends an interaction: energies are smooth everywhere, and two far molecules in one batch
entry feel each other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, gelu, pad

from force2geo.elements import MAX_ATOMIC_NUMBER
from force2geo.errors import UserError
from force2geo.potentials.backbone import About, Backbone, Features, Statistics
from force2geo.settings import setting

if TYPE_CHECKING:
    from force2geo.potentials.batch import Batch
    from force2geo.potentials.graph import Graph

_OUTER_EPSILON = 1e-3  # of the outer product's norm, as published
_SMALL = 0.1  # of the usual size, where the published last layers start at zero


@dataclass(frozen=True)
class UniMolPlusSettings:
    """Size of the network; defaults are those of the published base model."""

    layers: int = setting("blocks of a round", 12, least=1)
    features: int = setting("features of an atom", 768, least=2)
    pair_features: int = setting("features of a pair", 256, least=1)
    pair_hidden: int = setting("channels of outer products and triangular updates", 32, least=1)
    heads: int = setting("heads of an attention; they divide the features", 48, least=1)
    basis_size: int = setting("Gaussians of a distance", 128, least=2)
    cutoff: float = setting(
        "Å where the last Gaussian stands; atoms see each other beyond it, too", 9.0, above=0
    )
    rounds: int = setting("times that all blocks are gone through and the atoms moved", 2, least=1)
    attention_dropout: float = setting("share of attentions dropped", 0.1, least=0, most=0.9)
    activation_dropout: float = setting(
        "share of the hidden features dropped in feed-forward layers", 0.1, least=0, most=0.9
    )
    path_dropout: float = setting(
        "share of molecules that skip a branch of the last block, falling to none in the first",
        0.1,
        least=0,
        most=0.9,
    )
    pair_dropout: float = setting(
        "share of triangular updates dropped, alike for all first atoms", 0.25, least=0, most=0.9
    )


class Places(NamedTuple):
    """Where atoms stand in a padded batch of B molecules with n = 1 + (most atoms) places each.

    `slot` (N,) of an atom among the B(n-1) places without the virtual atoms; `present` (B,n);
    `pair` (B,n,n,1) is n⁻¹ᐟ², n here being a molecule's own, where both are present, else 0;
    `size` (B,1,1,1) is that n; `hidden` (B,1,1,n) is added to attentions; `apart` (B,n-1,n-1) are
    pairs of two different atoms.
    """

    slot: Tensor
    present: Tensor
    pair: Tensor
    size: Tensor
    hidden: Tensor
    apart: Tensor

    @classmethod
    def of(cls, batch: Batch, dtype: torch.dtype, largest: int | None = None) -> Places:
        """Return the places of a batch; numbers are of `dtype`.

        Without the number of atoms of the `largest` molecule the device is waited for.
        """
        counts, device = batch.atoms_per_molecule, batch.ptr.device
        widest = largest
        if widest is None:
            widest = int(counts.max()) if len(counts) else 0
        local = torch.arange(len(batch.molecule), device=device) - batch.ptr[batch.molecule]
        places = torch.arange(widest + 1, device=device)
        present = places <= counts[:, None]
        real = present[:, 1:]
        both = (present[:, :, None] & present[:, None]).unsqueeze(-1)
        size = (counts + 1).to(dtype)[:, None, None, None]
        hidden = torch.zeros(present.shape, dtype=dtype, device=device)
        return cls(
            slot=batch.molecule * widest + local,
            present=present,
            pair=both * size.rsqrt(),
            size=size,
            hidden=hidden.masked_fill(~present, -math.inf)[:, None, None],
            apart=real[:, :, None] & real[:, None] & (places[1:, None] != places[1:]),
        )

    def spread(self, of_atoms: Tensor) -> Tensor:
        """Return values (N,…) of atoms at their places (B,n-1,…), 0 elsewhere."""
        size, most = self.apart.shape[:2]
        flat = of_atoms.new_zeros((size * most, *of_atoms.shape[1:]))
        spread = flat.index_copy(0, self.slot, of_atoms)
        return spread.view(size, most, *of_atoms.shape[1:])

    def gather(self, spread: Tensor) -> Tensor:
        """Return values (B,n-1,…) at places as those of atoms (N,…)."""
        return spread.flatten(0, 1).index_select(0, self.slot)


def _small(linear: nn.Linear, by: float = _SMALL) -> nn.Linear:
    """Return a last layer that starts with small weights and no bias."""
    with torch.no_grad():
        linear.weight.mul_(by)
        if linear.bias is not None:
            linear.bias.zero_()
    return linear


def _gate(inputs: int, outputs: int) -> nn.Linear:
    """Return the layer of a gate that starts open."""
    linear = nn.Linear(inputs, outputs)
    nn.init.zeros_(linear.weight)
    nn.init.ones_(linear.bias)
    return linear


class FeedForward(nn.Module):
    """Two layers, as wide inside as outside, GELU between them."""

    def __init__(self, features: int, share: float) -> None:
        super().__init__()
        self.first, self.share = nn.Linear(features, features), share
        self.last = _small(nn.Linear(features, features))

    def forward(self, x: Tensor) -> Tensor:
        """Return the update, same shape."""
        return self.last(dropout(gelu(self.first(x)), self.share, self.training))


class Attention(nn.Module):
    """Attentions (B,H,n,n) of atoms to each other, biased by their pairs, and what they attend."""

    def __init__(self, settings: UniMolPlusSettings) -> None:
        super().__init__()
        features, self.heads = settings.features, settings.heads
        self.query, self.key, self.value = (
            nn.Linear(features, features, bias=False) for _ in range(3)
        )
        self.bias = nn.Linear(settings.pair_features, settings.heads)
        self.share = settings.attention_dropout

    def _of_heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def forward(self, x: Tensor, pair: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Return attentions (B,H,n,n) and values (B,H,n,D) of atoms (B,n,F), pairs (B,n,n,P)."""
        query, key = self._of_heads(self.query(x)), self._of_heads(self.key(x))
        scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
        scores = scores + self.bias(pair).permute(0, 3, 1, 2) + hidden
        weights = dropout(scores.softmax(-1), self.share, self.training)
        return weights, self._of_heads(self.value(x))


class OuterProduct(nn.Module):
    """Two projections of two atoms, multiplied each by each, to features of the pair."""

    def __init__(self, settings: UniMolPlusSettings) -> None:
        super().__init__()
        hidden = settings.pair_hidden
        self.first = nn.Linear(settings.features, 2 * hidden)
        self.last = nn.Linear(hidden**2, settings.pair_features)

    def forward(self, x: Tensor, places: Places) -> Tensor:
        """Return the update (B,n,n,P) of atoms (B,n,F); wrong where an atom is absent."""
        left, right = self.first(x).chunk(2, dim=-1)
        # Of Σ W_pde l_id r_je the sum over e, of single atoms, comes first: the (B,n,n,D²) products
        # would cost D times as much.
        size, n, hidden = right.shape
        weight = self.last.weight.view(-1, hidden, hidden)
        sent = torch.einsum("bje,pde->bdjp", right, weight).reshape(size, hidden, -1)
        product = (left @ sent).view(size, n, n, -1)
        return (product / places.size + self.last.bias) / (_OUTER_EPSILON + 1 / places.size)


class TriangularUpdate(nn.Module):
    """What the two other sides of all its triangles say of a pair."""

    def __init__(self, settings: UniMolPlusSettings) -> None:
        super().__init__()
        features, hidden = settings.pair_features, settings.pair_hidden
        self.first, self.first_gate = nn.Linear(features, 2 * hidden), _gate(features, 2 * hidden)
        self.norm = nn.LayerNorm(hidden)
        self.last, self.last_gate = _small(nn.Linear(hidden, features)), _gate(features, features)

    def forward(self, pair: Tensor, places: Places) -> Tensor:
        """Return the update (B,n,n,P) of pairs (B,n,n,P)."""
        sides = self.first(pair) * self.first_gate(pair).sigmoid() * places.pair
        left, right = sides.permute(0, 3, 1, 2).chunk(2, dim=1)
        # Σ_k (l_ik r_jk + l_ki r_kj): pairs that leave the two atoms, and those that reach them.
        met = left @ right.transpose(-1, -2) + left.transpose(-1, -2) @ right
        return self.last_gate(pair) * self.last(self.norm(met.permute(0, 2, 3, 1)))


class Block(nn.Module):
    """One block: attention and feed-forward of atoms, then the three updates of pairs."""

    def __init__(self, settings: UniMolPlusSettings, path_dropout: float) -> None:
        super().__init__()
        features, pair_features = settings.features, settings.pair_features
        self.attention = Attention(settings)
        self.attended = _small(nn.Linear(features, features))
        self.feed = FeedForward(features, settings.activation_dropout)
        self.norms = nn.ModuleList(nn.LayerNorm(features) for _ in range(2))
        self.pair_outer = OuterProduct(settings)
        self.pair_triangle = TriangularUpdate(settings)
        self.pair_feed = FeedForward(pair_features, settings.activation_dropout)
        self.pair_norms = nn.ModuleList(nn.LayerNorm(pair_features) for _ in range(3))
        self.path_dropout, self.pair_dropout = path_dropout, settings.pair_dropout

    def _path(self, update: Tensor) -> Tensor:
        """Return a branch's update, in training not for all molecules."""
        if not self.training or not self.path_dropout:
            return update
        taken = update.new_ones((len(update),) + (1,) * (update.dim() - 1))
        return update * dropout(taken, self.path_dropout)

    def forward(self, x: Tensor, pair: Tensor, places: Places) -> tuple[Tensor, Tensor]:
        """Return updated atoms (B,n,F) and pairs (B,n,n,P)."""
        weights, values = self.attention(x, pair, places.hidden)
        attended = (weights @ values).transpose(1, 2).flatten(2)
        x = self.norms[0](x + self._path(self.attended(attended)))
        x = self.norms[1](x + self._path(self.feed(x)))
        pair = self.pair_norms[0](pair + self._path(self.pair_outer(x, places)))
        update = self.pair_triangle(pair, places)
        kept = dropout(torch.ones_like(update[:, :1]), self.pair_dropout, self.training)
        pair = self.pair_norms[1](pair + kept * update)
        pair = self.pair_norms[2](pair + self._path(self.pair_feed(pair)))
        return x, pair


class DistanceFeatures(nn.Module):
    """Gaussians of a·d + b, the numbers a and b being those of the two elements."""

    means: Tensor

    def __init__(self, settings: UniMolPlusSettings) -> None:
        super().__init__()
        size = settings.basis_size
        self.register_buffer("means", torch.linspace(0, settings.cutoff, size))
        self.width = settings.cutoff / (size - 1)
        # One column for the atom that looks, one for the atom that is seen.
        self.scale = nn.Embedding(MAX_ATOMIC_NUMBER + 1, 2, padding_idx=0)
        self.shift = nn.Embedding(MAX_ATOMIC_NUMBER + 1, 2, padding_idx=0)
        nn.init.ones_(self.scale.weight)
        nn.init.zeros_(self.shift.weight)
        self.first = nn.Linear(size, size)
        self.last = nn.Linear(size, settings.pair_features)

    def forward(self, distance: Tensor, numbers: Tensor) -> Tensor:
        """Return (B,m,m,P) of distances (B,m,m) in Å between elements (B,m)."""
        scale, shift = self.scale(numbers).abs(), self.shift(numbers)
        scale = scale[:, :, None, 0] + scale[:, None, :, 1]
        shift = shift[:, :, None, 0] + shift[:, None, :, 1]
        place = (scale * distance + shift)[..., None]
        norm = math.sqrt(2 * math.pi) * self.width
        gaussians = torch.exp(-0.5 * ((place - self.means) / self.width) ** 2) / norm
        return self.last(gelu(self.first(gaussians)))


class Movement(nn.Module):
    """How far atoms are moved, along the directions to the others that they attend to."""

    def __init__(self, settings: UniMolPlusSettings) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(settings.features)
        self.attention = Attention(settings)
        # About 0.01 Å at the start: what is not trained must not spoil the second round's geometry.
        self.last = _small(nn.Linear(settings.features, 1, bias=False), 0.01)

    def forward(self, x: Tensor, pair: Tensor, vectors: Tensor, hidden: Tensor) -> Tensor:
        """Return (B,m,3) in Å of atoms (B,m,F), pairs (B,m,m,P), vectors (B,m,m,3) to others."""
        weights, values = self.attention(self.norm(x), pair, hidden)
        # The projection of values comes before the sum over vectors: both are linear.
        pushes = torch.einsum("bhjd,hd->bhj", values, self.last.weight.view(len(values[0]), -1))
        along = (weights * pushes[:, :, None]).sum(1)
        return torch.einsum("bij,bijc->bic", along, vectors)


class UniMolPlus(Backbone):
    """Atoms in; scalars (N,F), the movement (N,3,1) in Å and a readout of the virtual atom out.

    The readout is a number of the molecule. As an atom's energy it is given to each of its atoms:
    an energy is then n times it, and a property, which is a mean over atoms, it itself.
    """

    Settings = UniMolPlusSettings
    about = About(
        title="Uni-Mol+",
        source="Lu et al. 2024, arXiv:2303.16982, doi:10.1038/s41467-024-51321-w",
    )
    whole_molecule = True
    own_readout = own_property = True

    def __init__(self, settings: UniMolPlusSettings, statistics: Statistics) -> None:
        super().__init__(settings, statistics)
        features, layers = settings.features, settings.layers
        if features % settings.heads:
            said = f"{settings.heads} 'heads' do not divide {features} 'features'"
            raise UserError(f"backbone unimol_plus: {said}")
        self.cutoff, self.width, self.vector_width = settings.cutoff, features, 1
        self.rounds = settings.rounds
        self.embedding = nn.Embedding(MAX_ATOMIC_NUMBER + 1, features, padding_idx=0)
        self.virtual = nn.Parameter(torch.randn(features))
        self.virtual_pair = nn.Parameter(torch.randn(settings.pair_features))
        self.distances = DistanceFeatures(settings)
        self.norm, self.pair_norm = nn.LayerNorm(features), nn.LayerNorm(settings.pair_features)
        self.blocks = nn.ModuleList(
            Block(settings, settings.path_dropout * at / max(1, layers - 1)) for at in range(layers)
        )
        self.movement = Movement(settings)
        self.readout = nn.Sequential(
            nn.Linear(features, features), nn.LayerNorm(features), nn.GELU(), nn.Linear(features, 1)
        )
        if self.rounds == 1:  # nothing is read after the one movement, nor of the last pairs
            unread = (f"backbone.blocks.{layers - 1}.pair_", "backbone.movement.")
            self.spare = (*self.spare, *unread)  # type: ignore[misc]

    def forward(self, batch: Batch, graph: Graph) -> Features:
        """Return scalars (N,F), the atoms' movement (N,3,1) in Å and their energies (N,)."""
        places = Places.of(batch, self.virtual.dtype, graph.pairs.largest)
        numbers, start = places.spread(batch.atomic_numbers), places.spread(batch.positions)
        x = torch.cat([self.virtual.expand(len(numbers), 1, -1), self.embedding(numbers)], dim=1)
        pair = x.new_zeros((*start.shape[:2], start.shape[1], len(self.virtual_pair)))
        pair = _with_virtual(pair, self.virtual_pair)
        positions = start
        for _ in range(self.rounds):
            vectors = positions[:, None] - positions[:, :, None]
            # A root of zero has no slope: pairs of an atom with itself get their zero afterwards.
            square = vectors.square().sum(-1).masked_fill(~places.apart, 1.0)
            distance = square.sqrt().masked_fill(~places.apart, 0.0)
            pair = pair + pad(self.distances(distance, numbers), (0, 0, 1, 0, 1, 0))
            x, pair = self.norm(x), self.pair_norm(pair)
            for block in self.blocks:
                x, pair = block(x, pair, places)
            positions = positions + self.movement(
                x[:, 1:], pair[:, 1:, 1:], vectors, places.hidden[..., 1:]
            )
        energy = self.readout(x[:, 0])[batch.molecule, 0]
        moved = places.gather(positions - start)[:, :, None]
        return Features(places.gather(x[:, 1:]), moved, energy)


def _with_virtual(pair: Tensor, virtual: Tensor) -> Tensor:
    """Return pairs (B,m,m,P) with those of the virtual atom, all alike, in front (B,m+1,m+1,P)."""
    size, atoms = pair.shape[:2]
    pair = torch.cat([virtual.expand(size, atoms, 1, -1), pair], dim=2)
    return torch.cat([virtual.expand(size, 1, atoms + 1, -1), pair], dim=1)


BACKBONE = UniMolPlus
