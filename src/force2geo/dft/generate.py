"""The PubChemQC protocol with open programs, for anyone's molecules.

InChI or SMILES → Open Babel 3D → PM3 (MOPAC) or GFN2-xTB (tblite) → RHF/STO-6G → B3LYP/6-31G*
(PySCF with geomeTRIC), each stage from where the last one ended (Force2Geo, appendix A.1). Each
stage leaves the log of its program, named as `curate` reads it, and is not done again when its
log is there and was made of the same molecule with the same settings. No log is ever removed:
settings have a folder each, and what gives way in it is put aside.
"""

from __future__ import annotations

import contextlib
import io
import json
import time
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from force2geo.calculators.mopac import find_mopac
from force2geo.dft.kernels import import_pyscf
from force2geo.dft.level import Level, build_mean_field, on_gpu
from force2geo.dft.pool import run_tasks
from force2geo.dft.starts import Geometry, first_geometry, relax_semiempirically
from force2geo.errors import UserError
from force2geo.files import atomic_path, hash_value, write_json, write_text
from force2geo.logs import Log, read_log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
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
    import_pyscf()
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


def _without_limit(settings: Settings) -> dict[str, Any]:
    # A relaxation that ended is the same under any limit of steps.
    return {key: value for key, value in asdict(settings).items() if key != "max_steps"}


def folder_name(settings: Settings) -> str:
    """Return the name of the folder for all logs of these settings."""
    return hash_value(_without_limit(settings))[:8]


def _home(folder: Path, molecule: Molecule, settings: Settings) -> Path:
    """Return the folder of a molecule's logs; another molecule's under this CID are put aside."""
    home, mine = folder / folder_name(settings) / molecule.cid, asdict(molecule)
    note = home / "made_of.json"
    made_of = json.loads(note.read_text(encoding="utf-8")) if note.exists() else mine
    if made_of != mine:
        home.rename(_aside(home, made_of))
    if not note.exists() and _aside(home, mine).exists():
        _aside(home, mine).rename(home)
    write_json(home.parent / "settings.json", _without_limit(settings))
    write_json(note, mine)
    return home


def _aside(home: Path, molecule: dict[str, str]) -> Path:
    return home.with_name(f".{home.name}.{hash_value(molecule)[:8]}")


def _is_done(target: Path, max_steps: int) -> bool:
    """Say whether a stage's log is there; one that a lower limit of steps cut is put aside."""
    note = target.with_name("step_limits.json")
    limits = json.loads(note.read_text(encoding="utf-8")) if note.exists() else {}
    if target.exists():
        limit = limits.get(target.name, max_steps)
        if limit >= max_steps or read_log(target).converged:
            return True
        shorter = target.parent / ".shorter" / f"{target.stem}.{limit}.log"
        shorter.parent.mkdir(exist_ok=True)
        target.rename(shorter)
    write_json(note, limits | {target.name: max_steps})
    return False


def generate(
    molecule: Molecule,
    folder: Path,
    settings: Settings,
    progress: Callable[[str], Any] = lambda _: None,
) -> Report:
    """Run the protocol on one molecule; its logs go to `folder/<settings>/<cid>/`.

    What goes wrong ends the molecule and is in the report, which is also written as
    `<cid>.json`; the stages before it are kept. `UserError` when a program is missing.
    """
    report = Report(molecule.cid, molecule.smiles, molecule.inchi)
    home = _home(folder, molecule, settings)

    def stage(name: str, compute: Callable[[Path], None]) -> Log:
        progress(name)
        target, start = home / f"{molecule.cid}.{name}.log", time.perf_counter()
        entry = StageReport(name)
        report.stages.append(entry)
        try:
            if not _is_done(target, settings.max_steps):
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
            entry.error = f"not converged in {len(log.energies)} steps"
            raise StageError
        return log

    def semiempirical(target: Path) -> None:
        start, limit = first_geometry(molecule), settings.force_threshold
        write_text(
            target,
            relax_semiempirically(start, limit, settings.max_steps, find_mopac() is not None),
        )

    try:
        log = stage("pm3", semiempirical)
        for name, level in PYSCF_STAGES.items():
            compute = partial(_relax_with_pyscf, _next(log), level, settings)
            log = stage(name, compute)
    except StageError:
        report.error = f"{report.stages[-1].stage}: {report.stages[-1].error}"
    write_json(home / f"{molecule.cid}.json", asdict(report))
    return report


def _generate(job: tuple[Molecule, Path, Settings]) -> Report | UserError:
    try:
        return generate(*job)
    except UserError as error:
        return error


def generate_all(
    molecules: Sequence[Molecule], folder: Path, settings: Settings, workers: int
) -> Iterator[Report]:
    """Yield the report of each molecule as it ends.

    Of several, one that brings its process down ends alone, with the error in its report; its logs
    up to then are kept. `UserError` when a program is missing.
    """
    if len(molecules) == 1:
        yield generate(molecules[0], folder, settings)
        return
    jobs = [(molecule, folder, settings) for molecule in molecules]
    for place, found, error in run_tasks(_generate, jobs, max(1, workers)):
        if isinstance(found, UserError):
            raise found
        molecule = molecules[place]
        yield found or Report(molecule.cid, molecule.smiles, molecule.inchi, error)
