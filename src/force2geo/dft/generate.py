"""The PubChemQC protocol with open programs, for anyone's molecules.

InChI or SMILES → Open Babel 3D → PM3 (MOPAC) or GFN2-xTB (tblite) → RHF/STO-6G → B3LYP/6-31G*
(PySCF with geomeTRIC), each stage from where the last one ended (Force2Geo, appendix A.1). Each
stage leaves the log of its program, named as `curate` reads it, and is not done again when its
log is there and was made of the same molecule with the same settings.
"""

from __future__ import annotations

import contextlib
import io
import json
import time
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from force2geo.dft.level import Level, build_mean_field, on_gpu
from force2geo.dft.starts import Geometry, find_mopac, first_geometry, relax_semiempirically
from force2geo.errors import UserError
from force2geo.files import atomic_path, write_json, write_text
from force2geo.logs import Log, read_log

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from force2geo.molecules import Molecule

PYSCF_STAGES = {
    "hf": Level(method="hf", basis="sto-6g"),
    "dft_1st": Level(method="b3lyp5", basis="6-31g*"),
}
_CONVERGED = "\nGeometry optimization converged\n"
_NOT_CONVERGED = "\nGeometry optimization is not converged\n"


class StageError(Exception):
    """A stage failed; its report says why."""


@dataclass(frozen=True)
class Settings:
    """Force threshold of the first stage (eV/Å), gradients of the others (Hartree/bohr)."""

    force_threshold: float = 0.05
    gradient_max: float = 5e-4
    gradient_rms: float = 3e-4
    max_steps: int = 200
    density_fit: bool = True
    grid_level: int = 2


@dataclass
class StageReport:
    """What became of a stage: its program, steps and seconds, or the error that ended it."""

    stage: str
    program: str = ""
    steps: int = 0
    converged: bool = False
    seconds: float = 0.0
    error: str = ""


@dataclass
class Report:
    """What became of a molecule; `error` is empty when all stages are there."""

    cid: str
    smiles: str
    inchi: str
    error: str = ""
    stages: list[StageReport] = field(default_factory=list)


def _relax_with_pyscf(geometry: Geometry, level: Level, settings: Settings, target: Path) -> None:
    """Relax a structure and write PySCF's log to `target`, whole or not at all."""
    from pyscf.geomopt import geometric_solver

    level = replace(level, density_fit=settings.density_fit, grid_level=settings.grid_level)
    charges = (geometry.charge, geometry.multiplicity)
    with atomic_path(target) as part:
        # geomeTRIC reports on the terminal; PySCF's log has all that counts.
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            field_ = build_mean_field(
                geometry.atomic_numbers, geometry.positions, level, *charges, log=part
            )
            converged, last = geometric_solver.kernel(
                on_gpu(field_),
                maxsteps=settings.max_steps,
                convergence_gmax=settings.gradient_max,
                convergence_grms=settings.gradient_rms,
                convergence_energy=1.0,
                convergence_drms=1.0,
                convergence_dmax=1.0,
            )
        field_.mol.stdout.flush()
        final = build_mean_field(
            geometry.atomic_numbers, last.atom_coords(unit="Angstrom"), level, *charges
        )
        final.kernel()
        moment = final.dip_moment(unit="Debye", verbose=0)
        with part.open("a", encoding="utf-8") as handle:
            x, y, z = (float(value) for value in moment)
            handle.write(f"\nDipole moment(X, Y, Z, Debye): {x:8.5f}, {y:8.5f}, {z:8.5f}\n")
            handle.write(_CONVERGED if converged else _NOT_CONVERGED)


def _next(log: Log) -> Geometry:
    return Geometry(log.atomic_numbers, log.positions[-1], log.charge, log.multiplicity)


def _drop_others(home: Path, molecule: Molecule, settings: Settings) -> None:
    """Remove logs that another molecule under this CID, or other settings, left."""
    mine = {"molecule": asdict(molecule), "settings": asdict(settings)}
    note = home / "made_with.json"
    if note.exists() and json.loads(note.read_text(encoding="utf-8")) == mine:
        return
    for path in home.glob(f"{molecule.cid}.*.log"):
        path.unlink()
    write_json(note, mine)


def generate(
    molecule: Molecule,
    folder: Path,
    settings: Settings,
    progress: Callable[[str], Any] = lambda _: None,
) -> Report:
    """Run the protocol on one molecule; its logs go to `folder/<cid>/`.

    What goes wrong ends the molecule and is in the report, which is also written as
    `<cid>.json`; the stages before it are kept. `UserError` when a program is missing.
    """
    report = Report(molecule.cid, molecule.smiles, molecule.inchi)
    home = folder / molecule.cid
    _drop_others(home, molecule, settings)

    def stage(name: str, compute: Callable[[Path], None]) -> Log:
        progress(name)
        target, start = home / f"{molecule.cid}.{name}.log", time.perf_counter()
        entry = StageReport(name)
        report.stages.append(entry)
        try:
            if not target.exists():
                compute(target)
            log = read_log(target)
        except UserError:
            raise
        except Exception as error:  # chemistry fails in many ways; none may end the others' run
            entry.error = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            raise StageError from error
        finally:
            entry.seconds = round(time.perf_counter() - start, 3)
        entry.program, entry.steps = f"{log.program} {log.version}".strip(), len(log.energies)
        entry.converged = log.converged
        if not log.converged:
            entry.error = f"not converged in {settings.max_steps} steps"
            raise StageError
        return log

    def semiempirical(target: Path) -> None:
        start, limit = first_geometry(molecule), settings.force_threshold
        write_text(target, relax_semiempirically(start, limit, settings.max_steps, find_mopac()))

    try:
        log = stage("pm3", semiempirical)
        for name, level in PYSCF_STAGES.items():
            compute = partial(_relax_with_pyscf, _next(log), level, settings)
            log = stage(name, compute)
    except StageError:
        report.error = f"{report.stages[-1].stage}: {report.stages[-1].error}"
    write_json(home / f"{molecule.cid}.json", asdict(report))
    return report
