"""Conversion factors, defined once.

Hartree and bohr live in `logs/` and `store/`; everything behind packing uses Å, eV and eV/Å.
"""

from ase.units import Bohr, Hartree, kcal, mol

HARTREE_TO_EV: float = Hartree
BOHR_TO_ANGSTROM: float = Bohr
GRADIENT_TO_FORCE: float = -Hartree / Bohr
"""Multiplies a gradient in Hartree/bohr; gives a force in eV/Å (the sign turns with it)."""
HARTREE_TO_KCAL_MOL: float = Hartree * mol / kcal
EV_PER_KCAL_MOL: float = kcal / mol
