"""MOPAC's semi-empirical methods, PM3 of the PubChemQC protocol among them (Stewart 1989)."""

from __future__ import annotations

import math
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from ase.calculators.calculator import CalculationFailed, Calculator, InputError, all_changes

from force2geo.elements import SYMBOLS
from force2geo.logs.log import LogError
from force2geo.logs.mopac import STEP, parse_aux
from force2geo.units import GRADIENT_TO_FORCE, HARTREE_TO_EV

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms

_SPINS = ("", "", "DOUBLET", "TRIPLET", "QUARTET", "QUINTET")
_SECONDS = 600
_MESSAGES = "Error and normal termination messages reported in this calculation"


def find_mopac() -> str | None:
    """Return MOPAC's program, None when it is not installed."""
    return shutil.which("mopac")


def point(atoms: Atoms, method: str, program: str, comment: str = STEP) -> str:
    """Return MOPAC's `.aux` file of energy and gradient at the atoms; each call has its own folder.

    Charge and multiplicity are those of `atoms.info`. `CalculationFailed` where there is no file.
    """
    from force2geo.molecular_state import molecular_state

    charge, multiplicity = molecular_state(atoms)
    if multiplicity >= len(_SPINS):
        raise InputError(f"MOPAC is asked for multiplicities up to 5, not {multiplicity}")
    keywords = f"{method} 1SCF GRADIENTS AUX(PRECISION=9) CHARGE={charge} {_SPINS[multiplicity]}"
    lines = [
        keywords.rstrip(),
        "",
        comment,
        *(
            f"{SYMBOLS[z]} {x:.10f} 1 {y:.10f} 1 {w:.10f} 1"
            for z, (x, y, w) in zip(atoms.numbers, atoms.positions, strict=True)
        ),
        "",
    ]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "point.mop").write_text("\n".join(lines), encoding="ascii")
        done = subprocess.run(
            [program, "point.mop"], cwd=folder, capture_output=True, timeout=_SECONDS, check=False
        )
        result = Path(folder) / "point.aux"
        if not result.exists():
            why = _said(Path(folder) / "point.out") or done.stderr[-200:].decode("latin-1").strip()
            raise CalculationFailed(f"MOPAC gave no result: {why or 'it says nothing'}")
        return result.read_text(encoding="latin-1")


def _said(output: Path) -> str:
    """Return the first of MOPAC's error messages, empty where there is none."""
    text = output.read_text(encoding="latin-1") if output.exists() else ""
    _, _, messages = text.partition(_MESSAGES)
    lines = (line.strip(" *") for line in messages.splitlines())
    return next((line for line in lines if line), "")


class MOPAC(Calculator):
    """Heats of formation (eV) and forces by MOPAC's program, which must be installed.

    `method` is one of its keywords, `PM3`, `PM6`, `AM1`; `text` the last point's file.
    """

    implemented_properties: ClassVar = ["energy", "forces"]

    def __init__(self, method: str = "PM3") -> None:
        super().__init__()
        program = find_mopac()
        if program is None:
            raise InputError("MOPAC is not installed: apt install mopac, or conda install mopac")
        self.method, self.program, self.text = method, program, ""

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Compute energy and forces of the atoms; `CalculationFailed` without an SCF."""
        super().calculate(atoms, properties, system_changes)
        self.text = point(self.atoms, self.method, self.program)
        try:
            log = parse_aux(self.text.encode("latin-1"))
        except LogError as error:
            raise CalculationFailed(f"MOPAC: {error}") from None
        energy, forces = float(log.energies[-1]) * HARTREE_TO_EV, log.gradients[-1]
        if not (math.isfinite(energy) and np.isfinite(forces).all()):
            raise CalculationFailed("MOPAC: no energy or no gradient, its field did not converge")
        self.results = {"energy": energy, "forces": forces * GRADIENT_TO_FORCE}
