"""MACE (Batatia et al. 2022): symmetric products of sums over neighbours; modules of `mace`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch.nn.functional import silu

from force2geo.errors import UserError
from force2geo.potentials.backbone import About, Features, Statistics
from force2geo.potentials.e3nn_modules import E3nnModules, traceless_import, vectors_of
from force2geo.settings import setting

with traceless_import():
    # First, since with it alone e3nn 0.4, which the package asks for, can be imported.
    from mace.modules import ScaleShiftMACE, interaction_classes

    from e3nn.o3 import Irreps  # isort: skip

if TYPE_CHECKING:
    from force2geo.potentials.batch import Batch
    from force2geo.potentials.graph import Graph

_READOUT = "16x0e"  # the package's default
_RADIAL = [64, 64, 64]


@dataclass(frozen=True)
class MACESettings:
    """Size of the network; what has a default has the package's, parity and degrees apart."""

    layers: int = setting("interactions, each with its product", least=1)
    features: int = setting("channels of an atom's tensors of each degree", least=2)
    cutoff: float = setting("Å within which atoms see each other", above=0)
    degree: int = setting("largest degree of spherical harmonics and of sums of them", 2, least=1)
    hidden_degree: int | None = setting(
        "largest degree of an atom's tensors between layers, at most `degree`; as that where none",
        None,
        least=0,
    )
    parity: Literal["even", "natural"] = setting(
        "what tensors do in a mirror: `even` takes all for even, so that mirror images may differ; "
        "`natural` has those of spherical harmonics",
        "even",
    )
    correlation: int = setting("how many sums over neighbours a product has", 3, least=1, most=4)
    first_interaction: Literal["residual", "plain"] = setting(
        "whether the first interaction keeps an atom's own part, as those after it do", "residual"
    )
    basis_size: int = setting("Bessel functions of a distance", 8, least=2)
    envelope: int = setting("power p of the polynomial that ends at the cutoff", 5, least=2)


class MACE(E3nnModules):
    """Atoms in; scalars (N,F), vectors (N,3,V) and energies (N,) of atoms out.

    Scalars are those of all layers, F = features · layers. The last layer makes no others, so that
    vectors are of the one before it, and there are none with a single layer. Sums over neighbours
    are divided by their mean number, energies are scaled by the root mean square of forces.
    """

    Settings = MACESettings
    about = About(
        title="MACE",
        source="Batatia et al. 2022, arXiv:2206.07697",
        code="mace-torch>=0.3.16,<0.4",
        extra="mace",
        table8=({"layers": 2, "features": 128, "cutoff": 4.5}, 8),
    )

    network: ScaleShiftMACE

    def __init__(self, settings: MACESettings, statistics: Statistics) -> None:
        super().__init__(settings, statistics)
        hidden = settings.degree if settings.hidden_degree is None else settings.hidden_degree
        if hidden > settings.degree:
            raise UserError(f"backbone mace: 'hidden_degree' is {hidden}, 'degree' less")
        self.cutoff, self.features = settings.cutoff, settings.features
        self.width = settings.features * settings.layers
        self.vector_width = settings.features if settings.layers > 1 and hidden else 0
        sign = 1 if settings.parity == "even" else -1
        self._vector = "1e" if settings.parity == "even" else "1o"
        self._hidden = Irreps([(self.features, (ell, sign**ell)) for ell in range(hidden + 1)])
        self._wrap(statistics, lambda known: _network(settings, statistics, self._hidden, known))

    def forward(self, batch: Batch, graph: Graph) -> Features:
        """Return scalars (N,F), vectors (N,3,V) where there are some, and energies (N,) in eV."""
        network, types = self.network, self.types[batch.atomic_numbers]
        ends = torch.stack([graph.sender, graph.receiver])
        from_sender = -graph.vectors(batch.positions)
        distance = from_sender.norm(dim=1, keepdim=True)
        harmonics = network.spherical_harmonics(from_sender)
        radial, envelope = network.radial_embedding(distance, types, ends, network.atomic_numbers)
        tensors, scalars, energy = network.node_embedding(types), [], 0
        vectors = None
        last = len(network.products) - 1
        layers = zip(network.interactions, network.products, network.readouts, strict=True)
        for place, (interaction, product, readout) in enumerate(layers):
            if place == last and self.vector_width:
                vectors = vectors_of(tensors, self._hidden, self._vector)
            sums, own = interaction(types, tensors, harmonics, radial, ends, cutoff=envelope)
            tensors = product(sums, own, types)
            scalars.append(tensors[:, : self.features])
            energy = energy + readout(tensors)[:, 0]
        energy = network.scale_shift(energy, torch.zeros_like(batch.molecule))
        return Features(torch.cat(scalars, dim=1), vectors, energy)


def _network(
    settings: MACESettings, statistics: Statistics, hidden: Irreps, elements: list[int]
) -> ScaleShiftMACE:
    """Return the package's network; of its energies only those of atoms are asked for."""
    residual = interaction_classes["RealAgnosticResidualInteractionBlock"]
    plain = interaction_classes["RealAgnosticInteractionBlock"]
    return ScaleShiftMACE(
        r_max=settings.cutoff,
        num_bessel=settings.basis_size,
        num_polynomial_cutoff=settings.envelope,
        max_ell=settings.degree,
        interaction_cls=residual,
        interaction_cls_first=residual if settings.first_interaction == "residual" else plain,
        num_interactions=settings.layers,
        num_elements=len(elements),
        hidden_irreps=hidden,
        MLP_irreps=Irreps(_READOUT),
        radial_MLP=_RADIAL,
        gate=silu,
        atomic_energies=np.zeros(len(elements)),
        avg_num_neighbors=statistics.mean_neighbours,
        atomic_numbers=elements,
        correlation=settings.correlation,
        use_so3=settings.parity == "even",
        # As many weights whether or not cuequivariance happens to be installed.
        use_reduced_cg=False,
        atomic_inter_scale=statistics.force_rms,
        atomic_inter_shift=0.0,
    )


BACKBONE = MACE
