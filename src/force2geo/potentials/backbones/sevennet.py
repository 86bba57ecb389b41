"""SevenNet (Park et al. 2024): NequIP's convolutions of tensor products; modules of `sevenn`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from torch import nn

from force2geo.potentials.backbone import About, Features, Statistics
from force2geo.potentials.e3nn_modules import E3nnModules, traceless_import, vectors_of
from force2geo.settings import setting

with traceless_import():
    import sevenn._keys as key
    from sevenn._const import DEFAULT_E3_EQUIVARIANT_MODEL_CONFIG
    from sevenn.model_build import build_E3_equivariant_model

if TYPE_CHECKING:
    from force2geo.potentials.batch import Batch
    from force2geo.potentials.graph import Graph


@dataclass(frozen=True)
class SevenNetSettings:
    """Size of the network; what has a default has the package's, parity and degree apart."""

    layers: int = setting("convolutions", least=1)
    features: int = setting("channels of an atom's tensors of each degree", least=2)
    cutoff: float = setting("Å within which atoms see each other", above=0)
    degree: int = setting("largest degree of tensors and spherical harmonics", 2, least=1)
    parity: Literal["even", "both"] = setting(
        "what tensors do in a mirror: `even` takes all for even, so that mirror images may differ; "
        "`both` has all of either kind",
        "even",
    )
    basis_size: int = setting("Bessel functions of a distance", 8, least=2)
    radial_features: tuple[int, ...] = setting(
        "features of the hidden layers from a distance to weights of a product", (64, 64), least=2
    )
    self_connection: Literal["nequip", "linear"] = setting(
        "what an atom keeps of itself: `nequip` by weights of its element, `linear` by those of "
        "all, as the pretrained SevenNet-0 does",
        "nequip",
    )


class SevenNet(E3nnModules):
    """Atoms in; scalars (N,F), vectors (N,3,F) and energies (N,) of atoms out.

    The last convolution makes scalars alone, so that vectors are those before it, and there are
    none with a single layer. Sums over neighbours are divided by their mean number, energies are
    scaled by the root mean square of forces.
    """

    Settings = SevenNetSettings
    about = About(
        title="SevenNet",
        source="Park et al. 2024, doi:10.1021/acs.jctc.4c00190",
        code="sevenn>=0.13,<0.14",
        extra="sevennet",
        table8=({"layers": 5, "features": 128, "cutoff": 4.5}, 16),
    )

    network: nn.ModuleDict

    def __init__(self, settings: SevenNetSettings, statistics: Statistics) -> None:
        super().__init__(settings, statistics)
        self.cutoff, self.width = settings.cutoff, settings.features
        self.vector_width = settings.features if settings.layers > 1 else 0
        self._wrap(statistics, lambda elements: _network(settings, statistics, elements))
        self._last = f"{settings.layers - 1}_self_connection_intro"
        self._vector = "1e" if settings.parity == "even" else "1o"
        self._before_last = self.network[f"{settings.layers - 1}_self_interaction_1"].irreps_in

    def forward(self, batch: Batch, graph: Graph) -> Features:
        """Return scalars (N,F), vectors (N,3,F), None with one layer, and energies (N,) in eV."""
        types = self.types[batch.atomic_numbers]
        data: dict[str, Any] = {
            key.NODE_FEATURE: types,
            key.NODE_ATTR: types,
            key.EDGE_IDX: (graph.receiver, graph.sender),
            key.EDGE_VEC: graph.vectors(batch.positions),
        }
        vectors = None
        for name, module in self.network.items():
            if name == self._last and self.vector_width:
                vectors = vectors_of(data[key.NODE_FEATURE], self._before_last, self._vector)
            if name == "reduce_input_to_hidden":
                scalars = data[key.NODE_FEATURE]
            data = module(data)
        return Features(scalars, vectors, data[key.ATOMIC_ENERGY][:, 0])


def _config(
    settings: SevenNetSettings, statistics: Statistics, elements: list[int]
) -> dict[str, Any]:
    """Return the package's own configuration of a network."""
    return DEFAULT_E3_EQUIVARIANT_MODEL_CONFIG | {
        key.NUM_CONVOLUTION: settings.layers,
        key.NODE_FEATURE_MULTIPLICITY: settings.features,
        key.CUTOFF: settings.cutoff,
        key.LMAX: settings.degree,
        key.IS_PARITY: settings.parity == "both",
        key.RADIAL_BASIS: {
            key.RADIAL_BASIS_NAME: "bessel",
            key.BESSEL_BASIS_NUM: settings.basis_size,
        },
        key.CONVOLUTION_WEIGHT_NN_HIDDEN_NEURONS: list(settings.radial_features),
        key.SELF_CONNECTION_TYPE: settings.self_connection,
        key.CONV_DENOMINATOR: statistics.mean_neighbours,
        key.SHIFT: 0.0,
        key.SCALE: statistics.force_rms,
        key.NUM_SPECIES: len(elements),
        key.TYPE_MAP: {element: place for place, element in enumerate(elements)},
    }


def _network(
    settings: SevenNetSettings, statistics: Statistics, elements: list[int]
) -> nn.ModuleDict:
    """Return the package's modules, by its names, from edges to energies of atoms."""
    network = build_E3_equivariant_model(_config(settings, statistics, elements))
    modules = dict(network.named_children())
    # The package's types of atoms are float32 whatever the weights are.
    for not_ours in ("onehot_idx_to_onehot", "reduce_total_enegy", "force_output"):
        del modules[not_ours]
    return nn.ModuleDict(modules)


BACKBONE = SevenNet
