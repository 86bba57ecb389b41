"""How many gradients optimisers take from RDKit's conformers to GFN2-xTB's minima.

All have the same molecules, the same potential and the same end, no force above 0.05 eV/Å; what is
left to gain there is told by each one's energy beside the lowest that any of them found.

  python benchmarks/relaxation/gradients.py [--molecules 60] [--out gradients.json]

Sella is a peer where it is installed.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ase.optimize
import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.units import kcal, mol

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from baseline import starts
from machine import describe, write

from force2geo.calling.tight_binding import TightBinding
from force2geo.potentials.batch import one_by_one
from force2geo.relax.batched import relax

if TYPE_CHECKING:
    from collections.abc import Callable

THRESHOLD, LIMIT = 0.05, 300


class Counted(Calculator):
    """GFN2-xTB that counts how often it is asked."""

    implemented_properties = ["energy", "forces"]

    def __init__(self) -> None:
        super().__init__()
        self.own, self.count = TightBinding({"method": "GFN2-xTB", "verbosity": 0}), 0

    def calculate(
        self, atoms: Any = None, properties: Any = None, system_changes: Any = all_changes
    ) -> None:
        """Compute and count."""
        super().calculate(atoms, properties, system_changes)
        self.count += 1
        energy, forces = self.own.compute(self.atoms.numbers, self.atoms.positions)
        self.results = {"energy": energy, "forces": forces}


def ours(name: str) -> Callable[[Atoms], None]:
    """Return a relaxation by this project."""

    def run(atoms: Atoms) -> None:
        import torch

        def evaluate(batch: Any) -> Any:
            ((_, places, *_),) = one_by_one(batch)
            atoms.positions = places
            energy, forces = atoms.get_potential_energy(), atoms.get_forces()
            return torch.tensor([energy]), torch.from_numpy(forces)

        (found,) = relax([atoms.numbers], [atoms.positions], evaluate, THRESHOLD, LIMIT,
                         optimizer=name)  # fmt: skip
        atoms.positions = found.frames[-1]

    return run


def ases(optimizer: Any, **options: Any) -> Callable[[Atoms], None]:
    """Return a relaxation by an optimiser of ASE's kind."""

    def run(atoms: Atoms) -> None:
        optimizer(atoms, logfile=None, **options).run(fmax=THRESHOLD, steps=LIMIT)

    return run


def geometric(atoms: Atoms) -> None:
    """Relax by geomeTRIC with the same threshold, and no other."""
    import logging

    from geometric.ase_engine import EngineASE
    from geometric.internal import DelocalizedInternalCoordinates
    from geometric.molecule import Molecule
    from geometric.optimize import Optimizer
    from geometric.params import OptParams

    logging.disable(logging.CRITICAL)
    molecule = Molecule()
    molecule.elem = atoms.get_chemical_symbols()
    molecule.xyzs = [atoms.positions.copy()]
    molecule.build_topology()
    engine = EngineASE(molecule, atoms.calc)
    coordinates = DelocalizedInternalCoordinates(molecule, build=True)
    atomic_unit = THRESHOLD / (27.211386 / 0.529177)
    any_ = 1e3
    parameters = OptParams(
        convergence_gmax=atomic_unit, convergence_grms=any_, convergence_energy=any_,
        convergence_drms=any_, convergence_dmax=any_, maxiter=LIMIT,
    )  # fmt: skip
    import tempfile

    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        start = molecule.xyzs[0].flatten() / 0.529177210903
        optimizer = Optimizer(
            start, molecule, coordinates, engine, folder, parameters, print_info=False
        )
        found = optimizer.optimizeGeometry()
    atoms.positions = found.xyzs[-1]


def main() -> None:
    """Count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--molecules", type=int, default=60)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    ways = {
        "ours, bfgs-model": ours("bfgs-model"),
        "ours, bfgs": ours("bfgs"),
        "ASE BFGS": ases(ase.optimize.BFGS),
        "ASE BFGSLineSearch": ases(ase.optimize.BFGSLineSearch),
        "geomeTRIC, DLC": geometric,
    }
    if find_spec("sella"):
        from sella import Sella

        ways["Sella, order 0, internal"] = ases(Sella, order=0, internal=True)
    counts: dict[str, list[float]] = {name: [] for name in ways}
    energies: dict[str, list[float]] = {name: [] for name in ways}
    forces: dict[str, list[float]] = {name: [] for name in ways}
    seconds = dict.fromkeys(ways, 0.0)
    for start in starts(args.molecules):
        for name, way in ways.items():
            atoms = Atoms(start.atomic_numbers, start.positions.copy())
            atoms.calc = calculator = Counted()
            begun = time.process_time()
            way(atoms)
            seconds[name] += time.process_time() - begun
            counts[name].append(calculator.count)
            energies[name].append(atoms.get_potential_energy())
            forces[name].append(np.linalg.norm(atoms.get_forces(), axis=1).max())
    lowest = np.min(list(energies.values()), axis=0)
    rows = {}
    for name in ways:
        left = (np.array(energies[name]) - lowest) / (kcal / mol)
        rows[name] = {
            "gradients_mean": float(np.mean(counts[name])),
            "gradients_median": float(np.median(counts[name])),
            "converged": float(np.mean(np.array(forces[name]) < THRESHOLD)),
            "above_lowest_kcal_mol_mean": float(left.mean()),
            "above_lowest_kcal_mol_median": float(np.median(left)),
            "processor_seconds": seconds[name],
        }
        print(f"{name:28}", {key: round(value, 3) for key, value in rows[name].items()})
    if args.out:
        write(args.out, {"molecules": args.molecules, "rows": rows, **describe()})


if __name__ == "__main__":
    main()
