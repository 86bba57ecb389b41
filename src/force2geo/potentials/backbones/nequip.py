"""NequIP (Batzner et al. 2022): convolutions of tensors; modules of the `nequip` package."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from e3nn.o3 import Irreps
from nequip.data import AtomicDataDict as Key
from nequip.model import FullNequIPGNNModel

from force2geo.potentials.backbone import About, Features, Statistics
from force2geo.potentials.nequip_modules import PARITY, NequIPModules, harmonics, tensors
from force2geo.settings import setting

if TYPE_CHECKING:
    from force2geo.potentials.batch import Batch
    from force2geo.potentials.graph import Graph


@dataclass(frozen=True)
class NequIPSettings:
    """Size of the network; what has a default has the package's, parity and degree apart."""

    layers: int = setting("convolutions", least=1)
    features: int = setting("channels of an atom's tensors of each degree", least=2)
    cutoff: float = setting("Å within which atoms see each other", above=0)
    degree: int = setting("largest degree of tensors and spherical harmonics", 2, least=1)
    parity: Literal["even", "natural", "both"] = setting(PARITY, "even")
    basis_size: int = setting("Bessel functions of a distance", 8, least=2)
    radial_layers: int = setting(
        "hidden layers from a distance to weights of a product", 1, least=1
    )
    radial_features: int = setting("features of those layers", 128, least=2)


class NequIP(NequIPModules):
    """Atoms in; scalars (N,F), vectors (N,3,F) and energies (N,) of atoms out.

    The last convolution makes scalars alone, so that vectors are those before it, and there are
    none with a single layer.
    """

    Settings = NequIPSettings
    about = About(
        title="NequIP",
        source="Batzner et al. 2022, arXiv:2101.03164",
        code="nequip>=0.19.1,<0.20",
        extra="nequip",
        table8=({"layers": 5, "features": 64, "cutoff": 4.5}, 16),
    )

    def __init__(self, settings: NequIPSettings, statistics: Statistics) -> None:
        super().__init__(settings, statistics)
        features, layers, parity = settings.features, settings.layers, settings.parity
        self.cutoff, self.scale = settings.cutoff, statistics.force_rms
        self.width, self.vector_width = features, features if layers > 1 else 0
        hidden = str(Irreps([(features, ir) for _, ir in tensors(settings.degree, parity)]))
        self._make(
            FullNequIPGNNModel,
            irreps_edge_sh=harmonics(settings.degree, parity),
            feature_irreps_hidden=[hidden] * (layers - 1) + [f"{features}x0e"],
            type_embed_num_features=features,
            radial_mlp_depth=[settings.radial_layers] * layers,
            radial_mlp_width=[settings.radial_features] * layers,
            num_bessels=settings.basis_size,
            avg_num_neighbors=statistics.mean_neighbours,
        )
        self._last = f"layer{layers - 1}_convnet"
        if self.vector_width:
            last: Any = self.parts[self._last]
            given = Irreps(last.irreps_in[Key.NODE_FEATURES_KEY])
            vector = "1e" if parity == "even" else "1o"
            self._vectors = given.slices()[[str(ir) for _, ir in given].index(vector)]

    def forward(self, batch: Batch, graph: Graph) -> Features:
        """Return scalars (N,F), vectors (N,3,F), None with one layer, and energies (N,) in eV."""
        data, vectors = self._data(batch, graph), None
        for name, module in self.parts.items():
            if name == self._last and self.vector_width:
                flat = data[Key.NODE_FEATURES_KEY][:, self._vectors]
                vectors = flat.unflatten(1, (self.width, 3)).transpose(1, 2)
            data = module(data)
        energy = self.scale * data[Key.PER_ATOM_ENERGY_KEY][:, 0]
        return Features(data[Key.NODE_FEATURES_KEY], vectors, energy)


BACKBONE = NequIP
