"""What a backbone is: a network that turns atoms into features of atoms.

A backbone is one file in `potentials/backbones` (or in another package, by an entry point of the
group `force2geo.backbones`) that names its class `BACKBONE`. The rest of the project finds it by
the file's name and asks nothing else of it than what stands here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from torch import Tensor, nn

from force2geo.potentials.charge import ChargeFeatures
from force2geo.potentials.given_forces import GivenForces

if TYPE_CHECKING:
    from force2geo.potentials.batch import Batch
    from force2geo.potentials.graph import Graph


class Features(NamedTuple):
    """What a backbone makes of a batch; None where it has none of a kind.

    `scalars` (N,F); `vectors` (N,3,V), xyz in the second place, which turn along with the molecule;
    `atomic_energy` (N,) of a network with its own readout, before references are added; `forces`
    (N,3) of one that predicts them directly instead of differentiating the energy.
    """

    scalars: Tensor | None
    vectors: Tensor | None = None
    atomic_energy: Tensor | None = None
    forces: Tensor | None = None


@dataclass(frozen=True)
class Statistics:
    """What some networks want to know of the training set.

    `elements` are its atomic numbers, ascending, empty where not known; `mean_neighbours` how many
    atoms an atom sees under the cutoff; `force_rms` (eV/Å) the root mean square of the components
    of forces. A network made without a training set gets the defaults.
    """

    elements: tuple[int, ...] = ()
    mean_neighbours: float = 1.0
    force_rms: float = 1.0


@dataclass(frozen=True)
class About:
    """Where a network comes from.

    `source` cites the paper; `code` names what computes: this project or a package with its
    version range; `licence` is that code's; `extra` is the extra of this project that installs it,
    empty where none is needed. `table8` are the settings and the batch size of Force2Geo's table 8,
    where the network stands there.
    """

    title: str
    source: str
    licence: str = "MIT"
    code: str = "force2geo"
    extra: str = ""
    table8: tuple[dict[str, Any], int] | None = None


class Backbone(nn.Module, ABC):
    """Base of all backbones.

    Subclasses set `Settings` and `about`, and in `__init__` the attributes `cutoff` (Å), `width`
    (F of their scalars, None where they give none) and `vector_width` (V of their vectors, 0 where
    they give none).
    """

    Settings: ClassVar[type]
    about: ClassVar[About]
    largest_element: ClassVar[int | None] = None
    direct_forces: ClassVar[bool] = False
    own_readout: ClassVar[bool] = False
    """Whether it gives atoms' energies itself, so that none are made of its scalars."""
    own_property: ClassVar[bool] = False
    """Whether a property, too, is the mean of those and not one of its scalars."""
    second_derivatives: ClassVar[bool] = True
    """Whether forces can be differentiated by positions; Hessians are of differences without."""
    smooth: ClassVar[bool] = True
    """Whether energy and forces are continuous where an atom crosses the cutoff."""
    mirror: ClassVar[bool] = True
    """Whether predictions follow a reflection, and not only turns."""
    whole_molecule: ClassVar[bool] = False
    """Whether atoms see all others of their molecule, however far."""
    needs_bonds: ClassVar[bool] = False
    """Whether it takes the molecular graph and no geometry; it then gives properties alone."""
    spare: ClassVar[tuple[str, ...]] = ()
    """Beginnings of the names of parameters that an energy does not depend on."""
    cutoff: float
    width: int | None
    vector_width: int = 0

    @abstractmethod
    def __init__(self, settings: Any, statistics: Statistics) -> None:
        super().__init__()

    @property
    def takes_charge(self) -> bool:
        """Whether total charge and unpaired electrons are an input: a child is `ChargeFeatures`."""
        return any(isinstance(one, ChargeFeatures) for one in self.children())

    @property
    def takes_forces(self) -> bool:
        """Whether forces of a structure before noise are an input: a child is `GivenForces`."""
        return any(isinstance(one, GivenForces) for one in self.children())

    @abstractmethod
    def forward(self, batch: Batch, graph: Graph) -> Features:
        """Return features; positions are `batch.positions`, which a gradient may be taken by."""
