"""An ASE calculator, called for one molecule after the other."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms

from force2geo.errors import UserError

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

# What calculators call a charge (e) and a multiplicity (2S+1).
CHARGE, MULTIPLICITY = ("charge",), ("multiplicity", "mult", "spin_multiplicity")


def import_calculator(name: str, options: dict[str, Any]) -> Calculator:
    """Return the ASE calculator at an import path, `tblite.ase:TBLite` say, made with options."""
    module, _, attribute = name.partition(":")
    if not (module and attribute):
        raise UserError(f"calculator '{name}': give MODULE:CLASS, tblite.ase:TBLite say")
    try:
        made = getattr(import_module(module), attribute)(**options)
    except UserError:
        raise
    except Exception as error:  # of any package, in any way
        text = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"calculator '{name}': {text}") from error
    if not hasattr(made, "get_potential_energy"):
        raise UserError(f"calculator '{name}': this is no ASE calculator")
    return made


class Called:
    """A calculator that is told a molecule's charge and multiplicity.

    They are set as its parameters where it has such, and always stand in `Atoms.info`, and as
    initial charges and moments.
    """

    def __init__(self, calculator: Calculator) -> None:
        self.calculator = calculator
        known = {**getattr(calculator, "default_parameters", {}), **_parameters(calculator)}
        self.charge = next((key for key in CHARGE if key in known), None)
        self.multiplicity = next((key for key in MULTIPLICITY if key in known), None)

    def compute(
        self, numbers: np.ndarray, positions: np.ndarray, charge: int = 0, multiplicity: int = 1
    ) -> tuple[float, np.ndarray]:
        """Return the energy (eV) and forces (n,3) eV/Å of a molecule (n,), (n,3) Å.

        Raises what the calculator raises; it then begins anew.
        """
        try:
            atoms = self.atoms(numbers, positions, charge, multiplicity)
            forces = np.asarray(atoms.get_forces())
            return float(atoms.get_potential_energy()), forces
        except Exception:
            self.calculator.reset()
            raise

    def atoms(
        self, numbers: np.ndarray, positions: np.ndarray, charge: int, multiplicity: int
    ) -> Atoms:
        """Return a molecule that the calculator is attached to."""
        atoms = Atoms(numbers, positions)
        atoms.info |= {"charge": charge, "multiplicity": multiplicity, "spin": multiplicity}
        first = np.arange(len(numbers)) == 0
        if charge:
            atoms.set_initial_charges(np.where(first, float(charge), 0.0))
        if multiplicity > 1:
            atoms.set_initial_magnetic_moments(np.where(first, multiplicity - 1.0, 0.0))
        wanted = {self.charge: charge, self.multiplicity: multiplicity}
        has = _parameters(self.calculator)
        changed = {key: value for key, value in wanted.items() if key and has.get(key) != value}
        if changed:
            self.calculator.reset()  # else some begin anew with the molecule before
            self.calculator.set(**changed)
        atoms.calc = self.calculator
        return atoms


def _parameters(calculator: Calculator) -> dict[str, Any]:
    return dict(getattr(calculator, "parameters", None) or {})


def said(error: BaseException) -> str:
    """Return an error of any program on one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())
