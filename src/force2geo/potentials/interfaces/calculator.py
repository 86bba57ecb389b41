"""A potential as an ASE calculator."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from ase.calculators.calculator import Calculator, all_changes

from force2geo.errors import UserError
from force2geo.molecular_state import molecular_state

if TYPE_CHECKING:
    import torch
    from ase import Atoms

    from force2geo.potentials.model import Model

_RESULTS = ("energy", "forces", "energy_spread", "force_spread")
_IDENTITIES = itertools.count(-1, -1)  # relaxations have those from nought on


class PotentialCalculator(Calculator):
    """Total energy (eV) and forces (eV/Å) of a molecule.

    Periodic cells, and charges and multiplicities (`force2geo.molecular_state`) that the potential
    was not trained on, are refused. Of a committee `results` have its spreads, too. Molecules of up
    to some hundred atoms are computed by one thread, whatever torch's number of threads. A
    baseline's SCF starts from its last.
    """

    implemented_properties = ("energy", "forces")

    def __init__(self, model: Model, dtype: str | torch.dtype | None = None) -> None:
        if model.network.kind != "potential":
            raise UserError("calculator: the checkpoint is a property model, not a potential")
        super().__init__()
        self.model, self.dtype = model, dtype
        self._identities = [next(_IDENTITIES)]

    def check_state(self, atoms: Atoms, tol: float = 1e-15) -> list[str]:
        """Return what has changed since the last calculation; ASE does not look at `info`."""
        changes = super().check_state(atoms, tol)
        if self.atoms is not None and molecular_state(atoms) != molecular_state(self.atoms):
            changes.append("info")
        return changes

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Any = ("energy",),
        system_changes: Any = all_changes,
    ) -> None:
        """Compute energy and forces."""
        super().calculate(atoms, properties, system_changes)
        (found,) = self.model.predict(
            self.atoms, dtype=self.dtype, totals=True, identities=self._identities
        )
        self.results = {name: found[name] for name in _RESULTS if name in found}
