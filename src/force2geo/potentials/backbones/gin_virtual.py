"""GIN with a virtual node (Xu et al. 2019, Hu et al. 2021): the molecular graph, no geometry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, relu

from force2geo.errors import UserError
from force2geo.potentials.backbone import About, Backbone, Features, Statistics
from force2geo.potentials.spherical import sum_into
from force2geo.settings import setting
from force2geo.training_data.molecular_graphs import ATOM_SIZES, BOND_SIZES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from force2geo.potentials.batch import Batch
    from force2geo.potentials.graph import Graph


@dataclass(frozen=True)
class GINSettings:
    """Size of the network; defaults are those of OGB-LSC's baseline for PCQM4Mv2."""

    layers: int = setting("convolutions", 5, least=2)
    features: int = setting("features of an atom", 600, least=2)
    dropout: float = setting("share of features dropped in training", 0.0, least=0, most=0.99)


class Encoder(nn.Module):
    """Sum of an embedding for each of some categories."""

    def __init__(self, sizes: Sequence[int], features: int) -> None:
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(size, features) for size in sizes)
        for table in self.tables:
            nn.init.xavier_uniform_(cast("Tensor", table.weight))

    def forward(self, places: Tensor) -> Tensor:
        """Return (n,F) of (n,categories)."""
        embedded = [table(place) for table, place in zip(self.tables, places.T, strict=True)]
        return torch.stack(embedded).sum(0)


class Norm(nn.BatchNorm1d):
    """Batch norm; of a single row it uses what it has seen before, for a row has no deviation."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the same shape."""
        if self.training and len(x) < 2:
            return nn.functional.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        return super().forward(x)


class Convolution(nn.Module):
    """(1 + ε) x and the sum over bonds of relu(x_j + bond), through two layers (GIN, eq. 4.1)."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.epsilon = nn.Parameter(torch.zeros(1))
        self.bonds = Encoder(BOND_SIZES, features)
        self.dense = nn.Sequential(
            nn.Linear(features, features), Norm(features), nn.ReLU(), nn.Linear(features, features)
        )

    def forward(self, x: Tensor, bonds: Tensor, bond_features: Tensor) -> Tensor:
        """Return (N,F)."""
        sender, receiver = bonds
        sent = relu(x[sender] + self.bonds(bond_features))
        return cast("Tensor", self.dense((1 + self.epsilon) * x + sum_into(sent, receiver, len(x))))


class GINVirtual(Backbone):
    """Molecular graphs in, scalars (N,F) out, wherever the atoms are.

    Hydrogens are atoms of the graph, as of every batch here. Batch norm makes what a molecule
    gives depend on its company, in training alone.
    """

    Settings = GINSettings
    about = About(
        title="GIN-virtual",
        source="Xu et al. 2019, arXiv:1810.00826; Hu et al. 2021, arXiv:2103.09430",
    )
    needs_bonds = True
    whole_molecule = True

    def __init__(self, settings: GINSettings, statistics: Statistics) -> None:
        super().__init__(settings, statistics)
        features, layers = settings.features, settings.layers
        self.cutoff = 0.0  # nobody is near in space
        self.width, self.dropout = features, settings.dropout
        self.atoms = Encoder(ATOM_SIZES, features)
        self.virtual = nn.Parameter(torch.zeros(features))
        self.convolutions = nn.ModuleList(Convolution(features) for _ in range(layers))
        self.norms = nn.ModuleList(Norm(features) for _ in range(layers))
        self.virtual_layers = nn.ModuleList(
            nn.Sequential(
                nn.Linear(features, features), Norm(features), nn.ReLU(),
                nn.Linear(features, features), Norm(features), nn.ReLU(),
            )
            for _ in range(layers - 1)
        )  # fmt: skip

    def forward(self, batch: Batch, graph: Graph) -> Features:
        """Return scalars (N,F)."""
        if batch.bonds is None or batch.atom_features is None or batch.bond_features is None:
            raise UserError(
                "backbone gin_virtual: takes molecular graphs, and there are none with these "
                "geometries"
            )
        x = self.atoms(batch.atom_features)
        virtual = self.virtual.expand(batch.size, -1)
        last = len(self.convolutions) - 1
        for layer, (convolution, norm) in enumerate(
            zip(self.convolutions, self.norms, strict=True)
        ):
            x = x + virtual[batch.molecule]
            if layer < last:
                gathered = sum_into(x, batch.molecule, batch.size) + virtual
            x = norm(convolution(x, batch.bonds, batch.bond_features))
            if layer < last:
                x = relu(x)
                virtual = self._dropped(self.virtual_layers[layer](gathered))
            x = self._dropped(x)
        return Features(x)

    def _dropped(self, x: Tensor) -> Tensor:
        return dropout(x, self.dropout, self.training)


BACKBONE = GINVirtual
