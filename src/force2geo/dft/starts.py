"""First geometries and semi-empirical relaxations of the open PubChemQC protocol."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from force2geo.elements import SYMBOLS
from force2geo.errors import UserError
from force2geo.logs.log import Log
from force2geo.logs.mopac import CONVERGED, STEP, parse_aux
from force2geo.units import GRADIENT_TO_FORCE, HARTREE_TO_EV

if TYPE_CHECKING:
    from force2geo.molecules import Molecule

_MOPAC_SPINS = ("", "", "DOUBLET", "TRIPLET", "QUARTET", "QUINTET")
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


def relax_semiempirically(
    geometry: Geometry, threshold: float, max_steps: int, mopac: str | None
) -> str:
    """Return the log of a relaxation to forces below `threshold` eV/Å.

    PM3 by MOPAC when its program is given, else GFN2-xTB by tblite; both led by ASE's BFGS, so
    that every step has a gradient.
    """
    if mopac is not None:
        return _relax_mopac(geometry, threshold, max_steps, mopac)
    return _relax_tblite(geometry, threshold, max_steps)


def find_mopac() -> str | None:
    """Return MOPAC's program, None when it is not installed."""
    return shutil.which("mopac")


def _relax_mopac(geometry: Geometry, threshold: float, max_steps: int, program: str) -> str:
    from ase import Atoms
    from ase.calculators.calculator import Calculator, all_changes
    from ase.optimize import BFGS

    texts: list[str] = []

    def point(positions: np.ndarray, comment: str) -> Log:
        text = _mopac_point(geometry, positions, program, comment)
        texts.append(text)
        return parse_aux(text.encode("latin-1"))

    class Mopac(Calculator):
        implemented_properties = ("energy", "forces")

        def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):  # type: ignore[no-untyped-def]
            super().calculate(atoms, properties, system_changes)
            log = point(self.atoms.positions, STEP)
            self.results = {
                "energy": float(log.energies[-1]) * HARTREE_TO_EV,
                "forces": log.gradients[-1] * GRADIENT_TO_FORCE,
            }

    atoms = Atoms(geometry.atomic_numbers, geometry.positions, calculator=Mopac())
    converged = BFGS(atoms, logfile=os.devnull).run(fmax=threshold, steps=max_steps)
    if converged:  # the last file says so; its point stands there twice and counts once
        point(atoms.positions, CONVERGED)
    return "".join(texts)


def _mopac_point(geometry: Geometry, positions: np.ndarray, program: str, comment: str) -> str:
    spin = _MOPAC_SPINS[geometry.multiplicity]
    lines = [
        f"PM3 1SCF GRADIENTS AUX(PRECISION=9) CHARGE={geometry.charge} {spin}".rstrip(),
        "",
        comment,
        *(
            f"{SYMBOLS[z]} {x:.10f} 1 {y:.10f} 1 {w:.10f} 1"
            for z, (x, y, w) in zip(geometry.atomic_numbers, positions, strict=True)
        ),
        "",
    ]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "point.mop").write_text("\n".join(lines), encoding="ascii")
        done = subprocess.run(
            [program, "point.mop"], cwd=folder, capture_output=True, timeout=600, check=False
        )
        result = Path(folder) / "point.aux"
        if not result.exists():
            raise ValueError(f"MOPAC gave no result ({done.stderr[-200:].decode('latin-1')})")
        return result.read_text(encoding="latin-1")


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
