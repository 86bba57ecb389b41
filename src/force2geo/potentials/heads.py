"""Heads: what a backbone's features are turned into, by kind.

A model names its heads and says of each the kind; `KINDS` has what makes one of a kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, cast

import torch
from torch import Tensor, nn

from force2geo.elements import MAX_ATOMIC_NUMBER
from force2geo.errors import UserError
from force2geo.potentials.backbones.painn_published import PublishedPaiNN
from force2geo.potentials.published import GatedBlock

if TYPE_CHECKING:
    from collections.abc import Callable

    from force2geo.potentials.backbone import Backbone, Features, Statistics
    from force2geo.potentials.batch import Batch


@dataclass(frozen=True)
class Head:
    """One thing that a model gives, by its `kind`.

    `energy` is the total energy; `forces` its negative gradient, or with `direct` (and where the
    backbone gives them itself) a prediction of their own; `property` the number `target` of a
    molecule, in `unit`, with `extensive` a sum over atoms; `displacement` the way of each atom to
    the true geometry, left out where the backbone has no vectors to make it of.
    """

    kind: str
    target: str = ""
    unit: str = ""
    direct: bool = False
    extensive: bool = False


def _atomwise(width: int | None) -> nn.Module:
    """Return what makes a number of an atom's features; nothing to do where the network has."""
    if width is None:
        return nn.Identity()
    return nn.Sequential(nn.Linear(width, width // 2), nn.SiLU(), nn.Linear(width // 2, 1))


def _of_atoms(readout: nn.Module, features: Features) -> Tensor:
    """Return (N,) numbers of atoms: those of a readout of its scalars, or the network's own."""
    if isinstance(readout, nn.Identity):
        assert features.atomic_energy is not None
        return features.atomic_energy
    return cast("Tensor", readout(features.scalars)[:, 0])


def _summed(atomic: Tensor, batch: Batch) -> Tensor:
    """Return (B,) sums over a molecule's atoms of (N,) numbers."""
    return atomic.new_zeros(batch.size).index_add(0, batch.molecule, atomic)


class _ExactReferences(nn.Module):
    """Keeps `references` (MAX_ATOMIC_NUMBER+1,), by atomic number, in float64.

    Weights change their precision, references do not: -1e5 eV has steps of 8 meV in float32. Added
    in float64, they leave to float32 features only what is left.
    """

    references: Tensor

    def __init__(self) -> None:
        super().__init__()
        zeros = torch.zeros(MAX_ATOMIC_NUMBER + 1, dtype=torch.float64)
        self.register_buffer("references", zeros)

    def _apply(self, fn: Any, recurse: bool = True) -> _ExactReferences:
        exact = self.references
        super()._apply(fn, recurse)
        if self.references.dtype != exact.dtype:
            self.references = exact.to(self.references.device)
        return self


class EnergyHead(_ExactReferences):
    """Total energy in eV: atomic contributions on top of fixed energies of the free elements."""

    per_atom: ClassVar[bool] = False

    def __init__(self, width: int | None) -> None:
        super().__init__()
        self.atomic = _atomwise(width)

    def forward(self, features: Features, batch: Batch) -> Tensor:
        """Return (B,) energies in eV above the references."""
        return _summed(_of_atoms(self.atomic, features), batch)

    def reference(self, batch: Batch) -> Tensor:
        """Return (B,) summed reference energies in eV, float64."""
        return _summed(self.references[batch.atomic_numbers], batch)


class PropertyHead(nn.Module):
    """A molecular property: mean over atoms, scaled by the training set's mean and deviation."""

    per_atom: ClassVar[bool] = False
    mean: Tensor
    deviation: Tensor

    def __init__(self, width: int | None) -> None:
        super().__init__()
        self.atomic = _atomwise(width)
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("deviation", torch.ones(()))

    def forward(self, features: Features, batch: Batch) -> Tensor:
        """Return (B,) values in the property's unit."""
        total = _summed(_of_atoms(self.atomic, features), batch)
        return self.mean + self.deviation * total / batch.atoms_per_molecule


class ExtensiveHead(_ExactReferences):
    """A molecular property that grows with the molecule: a sum over atoms, on top of references.

    `references` (MAX_ATOMIC_NUMBER+1,) in the property's unit are what the training set's values
    are by composition alone, `deviation` is that of what is left, `atoms` the mean number of atoms:
    a contribution of one of every atom of such a molecule is one deviation.
    """

    per_atom: ClassVar[bool] = False
    deviation: Tensor
    atoms: Tensor

    def __init__(self, width: int | None) -> None:
        super().__init__()
        self.atomic = _atomwise(width)
        self.register_buffer("deviation", torch.ones(()))
        self.register_buffer("atoms", torch.ones(()))

    def forward(self, features: Features, batch: Batch) -> Tensor:
        """Return (B,) values in the property's unit, float64."""
        total = self.deviation * _summed(_of_atoms(self.atomic, features), batch) / self.atoms
        return total.double() + _summed(self.references[batch.atomic_numbers], batch)


class VectorHead(nn.Module):
    """A vector per atom, equivariant: a gated combination of the backbone's, times `scale`."""

    per_atom: ClassVar[bool] = True

    def __init__(self, width: int, vector_width: int, scale: float = 1.0) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.Linear(width, width), nn.SiLU(), nn.Linear(width, vector_width)
        )
        self.combine = nn.Linear(vector_width, 1, bias=False)
        self.scale = scale

    def forward(self, features: Features, batch: Batch) -> Tensor:
        """Return (N,3) vectors."""
        gated = self.gate(features.scalars)[:, None, :] * features.vectors
        return cast("Tensor", self.scale * self.combine(gated)[:, :, 0])


class PublishedVectorHead(nn.Module):
    """A vector per atom by two gated blocks, as Force2Geo's published code makes it."""

    per_atom: ClassVar[bool] = True

    def __init__(self, features: int) -> None:
        super().__init__()
        middle = features // 2
        self.blocks = nn.ModuleList([GatedBlock(features, middle), GatedBlock(middle, 1)])

    def forward(self, features: Features, batch: Batch) -> Tensor:
        """Return (N,3) displacements in Å."""
        scalars, vectors = features.scalars, features.vectors
        for block in self.blocks:
            scalars, vectors = block(scalars, vectors)
        assert vectors is not None
        return vectors[:, :, 0]


class OwnForces(nn.Module):
    """The forces that the backbone gives itself."""

    per_atom: ClassVar[bool] = True

    def forward(self, features: Features, batch: Batch) -> Tensor:
        """Return (N,3) forces in eV/Å."""
        assert features.forces is not None
        return features.forces


def _energy(backbone: Backbone, _: Head, __: Statistics) -> nn.Module:
    return EnergyHead(None if backbone.own_readout else backbone.width)


def _forces(backbone: Backbone, head: Head, statistics: Statistics) -> nn.Module | None:
    if backbone.direct_forces:
        return OwnForces()
    if not head.direct:
        return None  # the energy's slope, for which no weights are needed
    if not (backbone.width and backbone.vector_width):
        raise UserError("direct forces are made of a backbone's vectors, and it has none")
    return VectorHead(backbone.width, backbone.vector_width, statistics.force_rms)


def _property(backbone: Backbone, head: Head, _: Statistics) -> nn.Module:
    width = None if backbone.own_property else backbone.width
    return ExtensiveHead(width) if head.extensive else PropertyHead(width)


def _displacement(backbone: Backbone, _: Head, __: Statistics) -> nn.Module | None:
    if not backbone.vector_width:
        return None
    assert backbone.width is not None
    if isinstance(backbone, PublishedPaiNN):
        return PublishedVectorHead(backbone.width)
    return VectorHead(backbone.width, backbone.vector_width)


KINDS: dict[str, Callable[[Backbone, Head, Statistics], nn.Module | None]] = {
    "energy": _energy,
    "forces": _forces,
    "property": _property,
    "displacement": _displacement,
}
"""What makes a head of each kind; None where nothing of its own is needed, or possible."""
