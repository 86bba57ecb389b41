"""An ASE calculator whose minima are known: every atom on a spring."""

import numpy as np
from ase.calculators.calculator import Calculator, all_changes

STIFFNESS = 5.0  # eV/Å²
DEPTH = -10.0  # eV at the minimum


class Springs(Calculator):
    """Springs to the nearest of the minima in a `.npz` file of (n,) numbers and (n,3) Å."""

    implemented_properties = ["energy", "forces"]

    def __init__(self, minima: str) -> None:
        super().__init__()
        with np.load(minima) as file:
            self.minima = [(file[f"z{i}"], file[f"x{i}"]) for i in range(len(file) // 2)]

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        ways = [
            self.atoms.positions - place
            for numbers, place in self.minima
            if np.array_equal(numbers, self.atoms.numbers)
        ]
        way = min(ways, key=lambda way: np.abs(way).max())
        energy = DEPTH + 0.5 * STIFFNESS * float((way**2).sum())
        self.results = {"energy": energy, "forces": -STIFFNESS * way}
