"""First geometries and semi-empirical relaxations of the open PubChemQC protocol."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np

from force2geo.calculators.mopac import MOPAC, point
from force2geo.errors import UserError
from force2geo.logs.log import Log
from force2geo.logs.mopac import CONVERGED
from force2geo.units import GRADIENT_TO_FORCE, HARTREE_TO_EV

if TYPE_CHECKING:
    from force2geo.molecules import Molecule

_INSTALL = "install them with: pip install 'force2geo[generate]'"


@dataclass
class Geometry:
    """Atomic numbers (n,), positions (n,3) Å, charge and multiplicity."""

    atomic_numbers: np.ndarray
    positions: np.ndarray
    charge: int
    multiplicity: int


def first_geometry(molecule: Molecule) -> Geometry:
    """Return Open Babel's 3D structure of a molecule, as PubChemQC began.

    The multiplicity is the lowest the number of electrons allows. `ValueError` when the molecule
    cannot be read or built, `UserError` without Open Babel.
    """
    try:
        from openbabel import openbabel as ob
        from openbabel import pybel
    except ImportError:
        raise UserError(f"generate needs Open Babel's Python bindings: {_INSTALL}") from None
    ob.obErrorLog.SetOutputLevel(0)
    kind, text = ("inchi", molecule.inchi) if molecule.inchi else ("smi", molecule.smiles)
    try:
        structure = pybel.readstring(kind, text)
    except OSError as error:
        raise ValueError(f"Open Babel cannot read it ({error})") from None
    structure.make3D(forcefield="mmff94", steps=250)
    positions = np.array([atom.coords for atom in structure.atoms])
    numbers = np.array([atom.atomicnum for atom in structure.atoms], dtype=np.uint8)
    if not len(numbers):
        raise ValueError("Open Babel finds no atoms")
    if len(numbers) > 1 and (
        not np.isfinite(positions).all() or np.ptp(positions, axis=0).max() < 0.1
    ):
        raise ValueError("Open Babel cannot build a 3D structure")
    charge = int(structure.charge)
    electrons = int(numbers.sum()) - charge
    return Geometry(numbers, positions, charge, 1 + electrons % 2)


def relax_semiempirically(geometry: Geometry, threshold: float, max_steps: int, mopac: bool) -> str:
    """Return the log of a relaxation to forces below `threshold` eV/Å.

    PM3 by MOPAC where `mopac`, else GFN2-xTB by tblite; both led by ASE's BFGS, so
    that every step has a gradient.
    """
    if mopac:
        return _relax_mopac(geometry, threshold, max_steps)
    return _relax_tblite(geometry, threshold, max_steps)


def _relax_mopac(geometry: Geometry, threshold: float, max_steps: int) -> str:
    from ase import Atoms
    from ase.optimize import BFGS

    state = {"charge": geometry.charge, "multiplicity": geometry.multiplicity}
    atoms = Atoms(geometry.atomic_numbers, geometry.positions, info=state)
    atoms.calc = MOPAC("PM3")
    texts: list[str] = []

    def keep() -> None:
        atoms.get_forces()
        texts.append(atoms.calc.text)

    optimizer = BFGS(atoms, logfile=os.devnull)
    optimizer.attach(keep)
    if optimizer.run(fmax=threshold, steps=max_steps):
        # The last file says so; its point stands there twice and counts once.
        texts.append(point(atoms, "PM3", atoms.calc.program, CONVERGED))
    return "".join(texts)


def _relax_tblite(geometry: Geometry, threshold: float, max_steps: int) -> str:
    try:
        from tblite.ase import TBLite
    except ImportError:
        raise UserError(f"generate needs MOPAC or tblite: {_INSTALL}") from None
    from ase import Atoms
    from ase.optimize import BFGS

    from force2geo.logs.extended_xyz import path_text

    atoms = Atoms(geometry.atomic_numbers, geometry.positions)
    atoms.calc = TBLite(
        method="GFN2-xTB",
        charge=geometry.charge,
        multiplicity=geometry.multiplicity,
        verbosity=0,
    )
    frames: list[tuple[np.ndarray, float, np.ndarray]] = []

    def keep() -> None:
        frames.append((atoms.positions.copy(), atoms.get_potential_energy(), atoms.get_forces()))

    optimizer = BFGS(atoms, logfile=os.devnull)
    optimizer.attach(keep)
    converged = bool(optimizer.run(fmax=threshold, steps=max_steps))
    log = Log(
        program="tblite",
        version=version("tblite"),
        run="optimize",
        method="gfn2-xtb",
        basis="",
        charge=geometry.charge,
        multiplicity=geometry.multiplicity,
        finished=True,
        converged=converged,
        atomic_numbers=geometry.atomic_numbers,
        positions=np.array([frame[0] for frame in frames]),
        energies=np.array([frame[1] for frame in frames]) / HARTREE_TO_EV,
        gradients=np.array([frame[2] for frame in frames]) / GRADIENT_TO_FORCE,
    )
    return path_text(log)
