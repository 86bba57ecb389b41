"""Potentials that answer together: their mean, and by how much they differ."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from force2geo.calling.named import label
from force2geo.errors import UserError
from force2geo.potentials.batch import for_autograd
from force2geo.potentials.checkpoint import load
from force2geo.potentials.model import Model
from force2geo.potentials.models import Network
from force2geo.potentials.pairs import find_pairs

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from force2geo.potentials.batch import Batch


def load_together(paths: Sequence[str | Path], device: str = "cpu") -> Model:
    """Return the model of one checkpoint, or the committee of several potentials'.

    `UserError` where there is none, where one is no potential, and where they are not alike.
    """
    if not paths:
        raise UserError("no checkpoint given")
    models = [load(path, device) for path in paths]
    return models[0] if len(models) == 1 else Committee(models, [str(path) for path in paths])


class Committee(Model):
    """Potentials with the face of one: energies and forces are the mean of the `members`'.

    A baseline, which all must correct alike, is computed once for all. Predictions have two more
    numbers, standard deviations (n − 1) over the members: `energy_spread` of the energy per atom
    (eV/atom), and `force_spread` (eV/Å) of the force on the atom where its length is largest. What
    one member refuses, all do. `names` are what an error calls the members.
    """

    def __init__(self, members: Sequence[Model], names: Sequence[str] = ()) -> None:
        _check_alike(members, names or [f"member {place}" for place, _ in enumerate(members)])
        self.members = list(members)
        first = members[0]
        super().__init__(
            _Together([one.network for one in members]), first.provenance, first.device
        )

    def __repr__(self) -> str:
        return f"{len(self.members)} potentials together, the first of them:\n{self.members[0]!r}"

    @property
    def networks(self) -> list[Network]:
        """The members' networks."""
        return [one.network for one in self.members]

    def known_elements(self) -> set[int]:
        """Return the atomic numbers that all members were trained on."""
        return set.intersection(*(one.known_elements() for one in self.members))

    def charge_states(self) -> list[list[int]]:
        """Return the pairs [charge, multiplicity] that all members were trained on."""
        first, *others = (one.charge_states() for one in self.members)
        return [state for state in first if all(state in one for one in others)]

    def export(self, path: Path, dtype: str | torch.dtype | None = None) -> None:
        """Refuse: a package holds one network."""
        raise UserError("export: a package holds one potential; export each of these by itself")


def _check_alike(members: Sequence[Model], names: Sequence[str]) -> None:
    """Raise `UserError` where the mean of members would be the mean of nothing."""
    if len(members) < 2:
        raise UserError("a committee needs two potentials or more")
    for one, name in zip(members, names, strict=True):
        if one.network.kind != "potential":
            raise UserError(f"{name}: a property model, no potential")
        if one.mean_energy:
            raise UserError(f"{name}: a published checkpoint gives means over atoms; use it alone")
        for what, own, first in (
            ("baseline", *(_baseline(model) for model in (one, members[0]))),
            ("level of theory", *(_level(model) for model in (one, members[0]))),
        ):
            if own != first:
                raise UserError(f"{name}: its {what} is {own}, that of {names[0]} is {first}")


def _baseline(model: Model) -> str:
    record = model.network.config.get("baseline")
    return "none" if record is None else label(record)


def _level(model: Model) -> str:
    """Return the level that most of a training set is of."""
    return next(iter(model.network.config.get("levels") or []), "not recorded")


class _Together(Network):
    """Networks as one, whose forward pass gives their means and spreads."""

    def __init__(self, members: Sequence[Network]) -> None:
        nn.Module.__init__(self)
        self.members = nn.ModuleList(members)
        first = members[0]
        # Who asks what a potential is like asks the first, but for what it knows.
        self.config: dict[str, Any] = first.config
        self.statistics, self.backbone, self.heads = first.statistics, first.backbone, first.heads
        self.conservative = first.conservative
        self.per_molecule = ("energy", "binding", "energy_spread", "force_spread")
        self.per_atom = ("forces",)

    def forward(
        self, batch: Batch, training: bool = False, only: Collection[str] | None = None
    ) -> dict[str, Tensor]:
        """Return `energy` (B,), `binding` (B,) and `forces` (N,3), eV and eV/Å, and the spreads.

        `energy_spread` (B,) eV/atom, `force_spread` (B,) eV/Å.
        """
        if training:
            raise UserError("a committee is not trained; train its members")
        with torch.inference_mode(False):
            batch = for_autograd(batch)
            # Found once: members of another cutoff find their own.
            batch = replace(batch, pairs=find_pairs(batch, self.backbone.cutoff))
        found = [member(batch) for member in self.members]
        energy, binding, forces = (
            torch.stack([one[name] for one in found]) for name in ("energy", "binding", "forces")
        )
        apart = forces.std(dim=0).norm(dim=1)
        largest = apart.new_zeros(batch.size).scatter_reduce(0, batch.molecule, apart, "amax")
        return {
            "energy": energy.mean(dim=0),
            "binding": binding.mean(dim=0),
            "forces": forces.mean(dim=0),
            "energy_spread": energy.std(dim=0) / batch.atoms_per_molecule,
            "force_spread": largest,
        }
