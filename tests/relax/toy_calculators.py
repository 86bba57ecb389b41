"""Calculators with known answers, for `--calculator toy_calculators:NAME`."""

import time

import numpy as np
from ase.calculators.calculator import Calculator, all_changes


class Springs(Calculator):
    """Every pair wants to be 1.5 Å apart (10 eV/Å²); knows no charge."""

    implemented_properties = ["energy", "forces"]

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        apart = atoms.positions[:, None] - atoms.positions
        length = np.linalg.norm(apart, axis=2) + np.eye(len(atoms)) * 1.5
        pull = 10 * (length - 1.5)
        self.results = {
            "energy": float(2.5 * ((length - 1.5) ** 2).sum()),
            "forces": -((pull / length)[:, :, None] * apart).sum(axis=1),
        }


class Broken(Springs):
    """Fails for all, or for all but molecules of `size` atoms."""

    def __init__(self, size=0):
        super().__init__()
        self.size = size

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        if len(atoms) != self.size:
            raise RuntimeError(f"licence server 10.0.0.{len(atoms)}\n does not answer")
        super().calculate(atoms, properties, system_changes)


class ReadsInfo(Springs):
    """Adds 10 eV per charge and 1 eV per unpaired electron that the atoms carry."""

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        info = atoms.info
        assert info["spin"] == info["multiplicity"]
        assert atoms.get_initial_charges().sum() == info["charge"]
        assert atoms.get_initial_magnetic_moments().sum() == info["multiplicity"] - 1
        self.results["energy"] += 10 * info["charge"] + info["multiplicity"] - 1


class HasParameters(Springs):
    """Has charge and `mult` as parameters, as ORCA's; each call's are kept in `seen`."""

    default_parameters = {"charge": 0, "mult": 1}

    def __init__(self, **parameters):
        super().__init__(**parameters)
        self.seen = []

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.seen.append((len(atoms), self.parameters["charge"], self.parameters["mult"]))


class Slow(Springs):
    """Takes its time."""

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        time.sleep(0.05)
