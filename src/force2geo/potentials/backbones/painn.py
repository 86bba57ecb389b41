"""PaiNN (Schütt et al. 2021): messages of scalars and vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor, nn

from force2geo.elements import MAX_ATOMIC_NUMBER
from force2geo.potentials.backbone import About, Backbone, Features, Statistics
from force2geo.potentials.charge import ChargeFeatures, charge_setting
from force2geo.potentials.fast.atom_steps import invariants, senders, updated
from force2geo.potentials.fast.pair_sums import painn_message
from force2geo.potentials.fast.radial import CosineEnvelope, Excited, GaussianBasis
from force2geo.potentials.given_forces import GivenForces, forces_setting
from force2geo.settings import setting

if TYPE_CHECKING:
    from force2geo.potentials.batch import Batch
    from force2geo.potentials.graph import Graph
    from force2geo.potentials.pairs import Pairs


@dataclass(frozen=True)
class PaiNNSettings:
    """Size of the network."""

    layers: int = setting("message and update blocks", least=1)
    features: int = setting("features of an atom", least=2)
    basis_size: int = setting("Gaussians of a distance", least=2)
    cutoff: float = setting("Å within which atoms see each other", above=0)
    charge: bool = charge_setting()
    forces: bool = forces_setting()


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


class PaiNN(Backbone):
    """Atoms in, scalars (N,F) and vectors (N,3,F) out.

    Filters carry a cosine envelope and edge vectors are normalised, so that energy and forces
    are continuous where an atom crosses the cutoff.
    """

    Settings = PaiNNSettings
    about = About(
        title="PaiNN",
        source="Schütt et al. 2021, arXiv:2102.03150",
        table8=({"layers": 4, "features": 128, "basis_size": 128, "cutoff": 4.5}, 32),
    )

    def __init__(self, settings: PaiNNSettings, statistics: Statistics) -> None:
        super().__init__(settings, statistics)
        features, basis_size, layers = settings.features, settings.basis_size, settings.layers
        self.cutoff = cutoff = settings.cutoff
        self.width = self.vector_width = features
        self.embedding = nn.Embedding(MAX_ATOMIC_NUMBER + 1, features, padding_idx=0)
        self.charge = ChargeFeatures(features) if settings.charge else None
        scale = statistics.force_rms
        self.given_forces = GivenForces(features, scale) if settings.forces else None
        self.basis = GaussianBasis(basis_size, cutoff)
        self.envelope = CosineEnvelope(cutoff)
        self.messages = nn.ModuleList(Message(features, basis_size) for _ in range(layers))
        self.updates = nn.ModuleList(Update(features) for _ in range(layers))

    def forward(self, batch: Batch, graph: Graph) -> Features:
        """Return scalars (N,F) and vectors (N,3,F)."""
        pairs = graph.pairs
        vector = pairs.vectors(batch.positions)
        distance = vector.norm(dim=1)
        directions = vector / distance[:, None]
        # The envelope scales filters and their bias alike, so that both vanish at the cutoff.
        basis = self.basis(distance, pairs, self.envelope(distance))
        scalars = self.embedding(batch.atomic_numbers)
        if self.charge is not None:
            scalars = self.charge(scalars, batch)
        vectors: Tensor | None = None
        if self.given_forces is not None:
            scalars, vectors = self.given_forces(scalars, batch)
        for message, update in zip(self.messages, self.updates, strict=True):
            ds, dv = message(scalars, vectors, basis, directions, pairs)
            scalars = scalars + ds
            vectors = dv if vectors is None else vectors + dv
            scalars, vectors = update(scalars, vectors, pairs.sorted is not None)
        assert vectors is not None
        return Features(scalars, vectors)


BACKBONE = PaiNN
