"""Calculators whose numbers are known, for workers to make by `toy_baselines:NAME`."""

import os

import numpy as np
from ase.calculators.calculator import Calculator, all_changes


class Wells(Calculator):
    """Every atom in a well about the origin, 1.5 |x|² eV; 10 eV a charge, 1 eV an unpaired one.

    Bromine fails, iodine takes the process with it.
    """

    implemented_properties = ["energy", "forces"]

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        if 35 in atoms.numbers:
            raise RuntimeError(f"no bromine in\n{len(atoms)} atoms")
        if 53 in atoms.numbers:
            os._exit(7)
        self.results = {
            "energy": energy(atoms.positions, atoms.info["charge"], atoms.info["multiplicity"]),
            "forces": -3.0 * atoms.positions,
        }


def energy(x, charge=0, multiplicity=1):
    return 1.5 * float((x**2).sum()) + 10.0 * charge + multiplicity - 1


class Remembers(Wells):
    """As energy the calls since it last began anew, as force on all the process's threads."""

    calls = 0

    def reset(self):
        super().reset()
        self.calls = 0

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.calls += 1
        threads = float(os.environ["OMP_NUM_THREADS"])
        self.results = {"energy": self.calls, "forces": np.full((len(atoms), 3), threads)}

    def get_property(self, name, atoms=None, allow_calculation=True):
        if self.calculation_required(atoms, [name]):
            self.calculate(atoms)  # without the reset that ASE puts between two geometries
        return self.results[name]


WELLS = {"calculator": "toy_baselines:Wells", "options": {}}
