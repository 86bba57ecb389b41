"""DFT as an ASE calculator: the upper reference of a comparison of potentials."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from ase.calculators.calculator import CalculationFailed, Calculator, all_changes

from force2geo.dft.level import Level
from force2geo.dft.single_points import converge
from force2geo.molecular_state import molecular_state
from force2geo.units import GRADIENT_TO_FORCE, HARTREE_TO_EV

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms


class DFT(Calculator):
    """PySCF at a level of theory, whose options are those of `dft.level.Level`.

    Charge and multiplicity are those that `molecular_state` reads of the atoms. A density matrix
    is kept and starts the next geometry's, as long as it is the same molecule in the same state.
    `CalculationFailed` when no aid makes the self-consistent field converge.
    """

    implemented_properties: ClassVar = ["energy", "forces"]

    def __init__(self, **level: Any) -> None:
        super().__init__()
        self.level = Level(**level)
        self._last: tuple[list[int], np.ndarray] | None = None

    def check_state(self, atoms: Atoms, tol: float = 1e-15) -> list[str]:
        """Return what has changed; ASE does not look at `info`, where charge and spin may be."""
        changes: list[str] = super().check_state(atoms, tol)
        if self.atoms is not None and molecular_state(atoms) != molecular_state(self.atoms):
            changes.append("initial_charges")
        return changes

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] | None = None,
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """Compute energy (eV) and forces (eV/Å)."""
        super().calculate(atoms, properties, system_changes)
        numbers = self.atoms.numbers
        charge, multiplicity = molecular_state(self.atoms)
        same = [charge, multiplicity, *numbers.tolist()]
        guess = self._last[1] if self._last is not None and self._last[0] == same else None
        field, energy, _ = converge(
            numbers, self.atoms.positions, self.level, guess, charge, multiplicity
        )
        if energy is None:
            raise CalculationFailed("the self-consistent field did not converge")
        self._last = same, field.make_rdm1()
        gradient = field.nuc_grad_method().kernel()
        self.results = {
            "energy": energy * HARTREE_TO_EV,
            "forces": np.asarray(gradient) * GRADIENT_TO_FORCE,
        }
