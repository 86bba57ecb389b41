"""PaiNN (Schütt et al. 2021): messages of scalars and vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from force2geo.elements import MAX_ATOMIC_NUMBER
from force2geo.potentials.atom_steps import invariants, senders, updated
from force2geo.potentials.pair_sums import painn_message
from force2geo.potentials.pairs import Pairs, find_pairs
from force2geo.potentials.radial import CosineEnvelope, Excited, GaussianBasis

if TYPE_CHECKING:
    from force2geo.potentials.batch import Batch


class Message(nn.Module):
    """Message block (PaiNN, eqs 7 and 8)."""

    def __init__(self, features: int, basis_size: int) -> None:
        super().__init__()
        self.context = nn.Sequential(
            nn.Linear(features, features), nn.SiLU(), nn.Linear(features, 3 * features)
        )
        self.filters = nn.Linear(basis_size, 3 * features)

    def forward(
        self,
        scalars: Tensor,
        vectors: Tensor | None,
        basis: Excited,
        directions: Tensor,
        pairs: Pairs,
    ) -> tuple[Tensor, Tensor]:
        """Return the scalar (N,F) and vector (N,3,F) updates."""
        # Before there are vectors, nothing comes along them.
        chunks = (0, 1) if vectors is None else (0, 1, 2)
        filters = basis.through(self.filters, chunks, of=3)
        context, loops = self.context(scalars), pairs.sorted is not None
        sent = senders(context, vectors, (0, 1, 2), 1.0, 1.0, loops)
        return painn_message(*sent, filters, directions, pairs)


class Update(nn.Module):
    """Update block (PaiNN, eqs 9 and 10)."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.mix = nn.Linear(features, 2 * features, bias=False)
        self.context = nn.Sequential(
            nn.Linear(2 * features, features), nn.SiLU(), nn.Linear(features, 3 * features)
        )

    def forward(self, scalars: Tensor, vectors: Tensor, loops: bool) -> tuple[Tensor, Tensor]:
        """Return the updated scalars (N,F) and vectors (N,3,F), on a CPU in `loops`."""
        joined, product, left = invariants(scalars, self.mix(vectors), 1.0, loops)
        gates = self.context(joined)
        return updated(gates, product, left, scalars, vectors, (2, 1, 0), 1.0, loops)


class PaiNN(nn.Module):
    """Backbone: atoms in, scalars (N,F) and vectors (N,3,F) out.

    Filters carry a cosine envelope and edge vectors are normalised, so that energy and forces
    are continuous where an atom crosses the cutoff.
    """

    def __init__(self, layers: int, features: int, basis_size: int, cutoff: float) -> None:
        super().__init__()
        self.cutoff = cutoff
        self.features = features
        self.embedding = nn.Embedding(MAX_ATOMIC_NUMBER + 1, features, padding_idx=0)
        self.basis = GaussianBasis(basis_size, cutoff)
        self.envelope = CosineEnvelope(cutoff)
        self.messages = nn.ModuleList(Message(features, basis_size) for _ in range(layers))
        self.updates = nn.ModuleList(Update(features) for _ in range(layers))

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return scalars (N,F) and vectors (N,3,F)."""
        pairs = find_pairs(batch, self.cutoff)
        vector = pairs.vectors(batch.positions)
        distance = vector.norm(dim=1)
        directions = vector / distance[:, None]
        # The envelope scales filters and their bias alike, so that both vanish at the cutoff.
        basis = self.basis(distance, pairs, self.envelope(distance))
        scalars = self.embedding(batch.atomic_numbers)
        vectors: Tensor | None = None
        for message, update in zip(self.messages, self.updates, strict=True):
            ds, dv = message(scalars, vectors, basis, directions, pairs)
            scalars = scalars + ds
            vectors = dv if vectors is None else vectors + dv
            scalars, vectors = update(scalars, vectors, pairs.sorted is not None)
        assert vectors is not None
        return scalars, vectors
