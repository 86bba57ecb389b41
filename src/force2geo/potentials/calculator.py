"""A potential as an ASE calculator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ase.calculators.calculator import Calculator, all_changes

from force2geo.errors import UserError

if TYPE_CHECKING:
    import torch
    from ase import Atoms

    from force2geo.potentials.checkpoint import Model


class PotentialCalculator(Calculator):
    """Total energy (eV) and forces (eV/Å) of a molecule; periodic cells are not known."""

    implemented_properties = ("energy", "forces")

    def __init__(self, model: Model, dtype: str | torch.dtype | None = None) -> None:
        if model.network.kind != "potential":
            raise UserError("calculator: the checkpoint is a property model, not a potential")
        super().__init__()
        self.model, self.dtype = model, dtype

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Any = ("energy",),
        system_changes: Any = all_changes,
    ) -> None:
        """Compute energy and forces."""
        super().calculate(atoms, properties, system_changes)
        if self.atoms.pbc.any():
            raise UserError("calculator: periodic cells are not known to this potential")
        (found,) = self.model.predict([self.atoms], dtype=self.dtype, totals=True)
        self.results = {"energy": found["energy"], "forces": found["forces"]}
