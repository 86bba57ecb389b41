"""TorchMD-Net's equivariant transformer (Thölke & De Fabritiis 2022), as its package computes it.

The layers are the package's, its own list of neighbours is not: it caps their number.
"""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from force2geo.elements import MAX_ATOMIC_NUMBER
from force2geo.errors import UserError
from force2geo.potentials.backbone import About, Backbone, Features, Statistics
from force2geo.settings import setting

# The package starts warp, which greets on the standard output, where a command's results go.
with redirect_stdout(sys.stderr):
    from torchmdnet.models.model import create_model

if TYPE_CHECKING:
    from force2geo.potentials.batch import Batch
    from force2geo.potentials.graph import Graph


@dataclass(frozen=True)
class TorchMDNetSettings:
    """Size of the network."""

    layers: int = setting("attention layers", least=1)
    features: int = setting("features of an atom, a multiple of `heads`", least=2)
    basis_size: int = setting("exponential normal functions of a distance", least=2)
    cutoff: float = setting("Å within which atoms see each other", above=0)
    heads: int = setting("attention heads", 8, least=1)
    trainable_basis: bool = setting("whether the radial functions are trained", False)
    vector_cutoff: bool = setting(
        "whether messages to vectors, too, vanish at the cutoff, as those to scalars do; energies "
        "and forces are continuous there only with it",
        False,
    )


class TorchMDNet(Backbone):
    """Atoms in; scalars (N,F), vectors (N,3,F) and atomic energies (N,) out.

    As published, vectors get messages that do not vanish at the cutoff, where energy and forces
    therefore jump; the setting `vector_cutoff` mends it.
    """

    Settings = TorchMDNetSettings
    own_readout = True
    smooth = False
    about = About(
        title="TorchMD-Net ET",
        source="Thölke & De Fabritiis 2022, arXiv:2202.02541",
        code="torchmd-net>=3.1,<4",
        extra="torchmd_net",
    )

    def __init__(self, settings: TorchMDNetSettings, statistics: Statistics) -> None:
        super().__init__(settings, statistics)
        if settings.features % settings.heads:
            raise UserError(
                f"backbone torchmd_net: {settings.features} features are not a multiple of "
                f"{settings.heads} heads"
            )
        self.cutoff = settings.cutoff
        self.width = self.vector_width = settings.features
        arguments = {
            "model": "equivariant-transformer",
            "precision": 32,
            "embedding_dimension": settings.features,
            "num_layers": settings.layers,
            "num_heads": settings.heads,
            "num_rbf": settings.basis_size,
            "rbf_type": "expnorm",
            "trainable_rbf": settings.trainable_basis,
            "activation": "silu",
            "attn_activation": "silu",
            "distance_influence": "both",
            "neighbor_embedding": True,
            "vector_cutoff": settings.vector_cutoff,
            "cutoff_lower": 0.0,
            "cutoff_upper": settings.cutoff,
            "max_z": MAX_ATOMIC_NUMBER + 1,
            "max_num_neighbors": 128,  # of the package's own list alone
            "output_model": "Scalar",
            "reduce_op": "sum",
            "derivative": False,
            "atom_filter": -1,
            "prior_model": None,
        }
        self.network = create_model(arguments, std=torch.tensor(statistics.force_rms))

    def forward(self, batch: Batch, graph: Graph) -> Features:
        """Return scalars, vectors, and atomic energies in eV.

        What `TorchMD_ET.forward` and `EquivariantScalar.pre_reduce` do. An atom attends to itself,
        too, at no distance and in no direction.
        """
        network, numbers = self.network.representation_model, batch.atomic_numbers
        vectors = graph.vectors(batch.positions)
        distance = vectors.norm(dim=1)
        own = torch.arange(graph.atoms, device=numbers.device)
        edges = torch.stack([graph.sender, graph.receiver])
        with_own = torch.cat([edges, own.expand(2, -1)], dim=1)
        far = torch.cat([distance, distance.new_zeros(graph.atoms)])
        direction = torch.cat([vectors / distance[:, None], vectors.new_zeros(graph.atoms, 3)])
        radial = network.distance_expansion(far)

        x = network.embedding(numbers)
        seen = radial[: len(distance)]
        x = network.neighbor_embedding(numbers, x, edges, distance, seen)
        v = x.new_zeros(len(x), 3, x.shape[1])
        for layer in network.attention_layers:
            dx, dv = layer(x, v, with_own, far, radial, direction)
            x, v = x + dx, v + dv
        x = network.out_norm(x)
        return Features(x, v, self._energies(x, v))

    def _energies(self, x: Tensor, v: Tensor) -> Tensor:
        """Return (N,) of scalars (N,F) and vectors (N,3,F)."""
        for layer in self.network.output_model.output_network:
            x, v = layer(x, v)
        # The last vectors matter to nothing; the package, too, gives their weights a gradient of
        # zero so, but by a sum over the batch, through which one molecule's NaN reaches all.
        energies: Tensor = (x[:, 0] + 0 * v.sum(dim=(1, 2))) * self.network.std
        return energies


BACKBONE = TorchMDNet
