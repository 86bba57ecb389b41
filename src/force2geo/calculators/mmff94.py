"""MMFF94, the force field most users have at hand, by RDKit (Halgren 1996)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from ase.calculators.calculator import Calculator, InputError, all_changes
from ase.units import kcal, mol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms

_SAME = 0.6
"""Å: no step of a relaxation is as long; atoms that are further away are another molecule's."""


class MMFF94(Calculator):
    """MMFF94 of a molecule whose bonds are found from its geometry, and kept while it moves.

    `InputError` where no bonds fit the charge or the force field lacks parameters.
    """

    implemented_properties: ClassVar = ["energy", "forces"]

    def __init__(self) -> None:
        super().__init__()
        self._known: tuple[tuple[int, ...], int, Any] | None = None
        self._last = np.empty((0, 3))

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Compute energy and forces of the atoms."""
        super().calculate(atoms, properties, system_changes)
        field, positions = self._field(), self.atoms.get_positions()
        self._last = positions
        flat = positions.ravel().tolist()
        unit = kcal / mol
        self.results = {
            "energy": field.CalcEnergy(flat) * unit,
            "forces": -np.array(field.CalcGrad(flat)).reshape(-1, 3) * unit,
        }

    def _field(self) -> Any:
        from force2geo.molecular_state import molecular_state

        numbers, positions = tuple(self.atoms.numbers.tolist()), self.atoms.get_positions()
        charge = molecular_state(self.atoms)[0]
        near = self._last.shape == positions.shape and np.abs(self._last - positions).max() < _SAME
        if self._known is None or self._known[:2] != (numbers, charge) or not near:
            self._known = None
            self._known = numbers, charge, _force_field(numbers, positions, charge)
        return self._known[2]


def _force_field(numbers: Sequence[int], positions: np.ndarray, charge: int) -> Any:
    """Return RDKit's force field of a molecule, bonds by distance and valence."""
    from rdkit import Chem, rdBase
    from rdkit.Chem import AllChem, rdDetermineBonds

    molecule = Chem.RWMol()
    for number in numbers:
        molecule.AddAtom(Chem.Atom(number))
    conformer = Chem.Conformer(len(numbers))
    conformer.SetPositions(np.ascontiguousarray(positions, dtype=float))
    molecule.AddConformer(conformer)
    with rdBase.BlockLogs():
        try:
            rdDetermineBonds.DetermineBonds(molecule, charge=charge, embedChiral=False)
            Chem.SanitizeMol(molecule)
        except ValueError as error:
            raise InputError(f"MMFF94: no bonds fit the geometry ({error})") from None
        known = AllChem.MMFFGetMoleculeProperties(molecule)
        field = known and AllChem.MMFFGetMoleculeForceField(molecule, known)
    if not field:
        raise InputError("MMFF94 has no parameters for this molecule")
    field.Initialize()
    return field
