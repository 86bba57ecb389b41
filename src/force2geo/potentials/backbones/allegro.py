"""Allegro (Musaelian et al. 2023): tensors of pairs of atoms; modules of `nequip-allegro`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from allegro.model.allegro_models import FullAllegroModel
from allegro.nn._strided import Contracter
from nequip.data import AtomicDataDict as Key
from nequip.nn import replace_submodules
from torch import Tensor, nn

from force2geo.errors import UserError
from force2geo.potentials.backbone import About, Features, Statistics
from force2geo.potentials.nequip_modules import PARITY, NequIPModules, harmonics, tensors
from force2geo.settings import setting

if TYPE_CHECKING:
    from force2geo.potentials.batch import Batch
    from force2geo.potentials.graph import Graph


@dataclass(frozen=True)
class AllegroSettings:
    """Size of the network; layers of its perceptrons are as wide as its scalars."""

    layers: int = setting("products of a pair's tensors with its surroundings", least=1)
    features: int = setting("scalars of a pair of atoms, an even number", least=2)
    cutoff: float = setting("Å within which atoms see each other", above=0)
    tensor_features: int | None = setting(
        "channels of a pair's tensors of each degree; as many as scalars where none", None, least=1
    )
    degree: int = setting("largest degree of tensors and spherical harmonics", 2, least=1)
    parity: Literal["even", "natural", "both"] = setting(PARITY, "even")
    basis_size: int = setting("Bessel functions of a distance", 8, least=2)


class AtomsFirst(Contracter):
    """The package's product of a pair's tensors with those around its centre, in another order.

    What surrounds an atom meets weights and Clebsch-Gordan coefficients once, and not with each
    pair: of the E·9·9·9 numbers per channel that the package holds, E·9·9 are left.
    """

    def forward(self, x1: Tensor, x2: Tensor, idxs: Tensor) -> Tensor:
        """Return (E,u,k) of pairs (E,u,i), atoms (N,u,j) and the atom (E,) of each pair."""
        coefficients = torch.einsum(self._weight_w3j_einstr, self.weights, self.w3j)  # (u,i,j,k)
        around = x2.transpose(0, 1) @ coefficients.transpose(1, 2).flatten(2)  # (u,N,ik)
        of_pair = around.transpose(0, 1).index_select(0, idxs)
        return (x1[:, :, None] @ of_pair.unflatten(2, (x1.shape[2], -1)))[:, :, 0]


def _atoms_first(product: Contracter) -> Contracter:
    """Return the same product as `AtomsFirst`; one that has no cross terms as it is."""
    if product.w3j_is_ij_diagonal:
        return product
    turned = AtomsFirst(product.irreps_in1, product.irreps_in2, product.irreps_out, product.mul)
    turned.load_state_dict(product.state_dict())
    return turned


def _build(**options: Any) -> nn.Module:
    """Return the package's network with its products turned round."""
    return replace_submodules(FullAllegroModel(**options), Contracter, _atoms_first)


class Allegro(NequIPModules):
    """Atoms in; scalars (N,F) and energies (N,) of atoms out.

    Both are sums over the pairs that an atom is the centre of, scaled by the mean number of
    neighbours and by √2; scalars are what all layers gave, F = features · (layers + 1).
    """

    Settings = AllegroSettings
    about = About(
        title="Allegro",
        source="Musaelian et al. 2023, arXiv:2204.05249",
        code="nequip-allegro>=0.8.3,<0.9",
        extra="allegro",
        table8=({"layers": 2, "features": 128, "cutoff": 4.5}, 8),
    )

    def __init__(self, settings: AllegroSettings, statistics: Statistics) -> None:
        super().__init__(settings, statistics)
        features, parity = settings.features, settings.parity
        self.cutoff, self.scale = settings.cutoff, statistics.force_rms
        self.width = features * (settings.layers + 1)
        if features % 2:  # half of them tell an edge's centre, half its neighbour
            raise UserError(f"backbone allegro: 'features' is {features}, not an even number")
        self.share = 1 / math.sqrt(2 * statistics.mean_neighbours)
        self._make(
            _build,
            irreps_edge_sh=harmonics(settings.degree, parity),
            tensor_track_allowed_irreps=str(tensors(settings.degree, parity)),
            radial_chemical_embed={
                "_target_": "allegro.nn.TwoBodyBesselScalarEmbed",
                "num_bessels": settings.basis_size,
            },
            scalar_embed_mlp_hidden_layers_width=features,
            num_layers=settings.layers,
            num_scalar_features=features,
            num_tensor_features=settings.tensor_features or features,
            allegro_mlp_hidden_layers_width=features,
            readout_mlp_hidden_layers_width=features,
            avg_num_neighbors=statistics.mean_neighbours,
        )

    def forward(self, batch: Batch, graph: Graph) -> Features:
        """Return scalars (N,F) and energies (N,) in eV."""
        data = self._data(batch, graph)
        for module in self.parts.values():
            data = module(data)
        energy = self.scale * data[Key.PER_ATOM_ENERGY_KEY][:, 0]
        edges = data[Key.EDGE_FEATURES_KEY]
        sums = edges.new_zeros(graph.atoms, edges.shape[1]).index_add(0, graph.receiver, edges)
        return Features(self.share * sums, atomic_energy=energy)


BACKBONE = Allegro
