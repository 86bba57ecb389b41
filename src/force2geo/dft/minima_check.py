"""Minima looked for by geomeTRIC, too, from where DFT's finishing began."""

from __future__ import annotations

import contextlib
import io
import json
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from force2geo.dft.kernels import import_pyscf
from force2geo.dft.level import Level, build_mean_field, on_gpu
from force2geo.dft.pool import run_tasks
from force2geo.dft.single_points import converge
from force2geo.files import write_json
from force2geo.training_data.minima_file import Check
from force2geo.units import GRADIENT_TO_FORCE, HARTREE_TO_EV

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from force2geo.training_data.minima_file import Minimum

CONVERGED, NOT_CONVERGED = "converged", "not converged"
_MOST_STEPS = 200


@dataclass(frozen=True)
class _Task:
    minimum: Minimum
    level: Level
    force_threshold: float


def optimise(task: _Task) -> Check:
    """Return what geomeTRIC comes to, by its own steps and coordinates, forces below the threshold.

    The energy there is computed anew.
    """
    from pyscf.geomopt import geometric_solver

    begun, one, counted = time.perf_counter(), task.minimum, [0]
    state = one.charge, one.multiplicity

    def count(_: object) -> None:
        counted[0] += 1

    limit = task.force_threshold / abs(GRADIENT_TO_FORCE)
    field = on_gpu(build_mean_field(one.numbers, one.relaxed, task.level, *state))
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        converged, last = geometric_solver.kernel(
            field,
            callback=count,
            maxsteps=_MOST_STEPS,
            convergence_gmax=limit,
            convergence_grms=limit,
            convergence_energy=1.0,
            convergence_drms=1.0,
            convergence_dmax=1.0,
        )
    end = np.asarray(last.atom_coords(unit="Angstrom"))
    _, energy, _ = converge(one.numbers, end, task.level, None, *state)
    status = CONVERGED if converged and energy is not None else NOT_CONVERGED
    energy = float("nan") if energy is None else energy * HARTREE_TO_EV
    return Check(one.cid, status, energy, counted[0], time.perf_counter() - begun)


def _work(task: _Task) -> Check:
    import_pyscf(threads=1)
    return optimise(task)


def check_minima(
    minima: Sequence[Minimum], level: Level, force_threshold: float, folder: Path, workers: int = 1
) -> Iterator[Check]:
    """Yield geomeTRIC's end of each molecule as it is there; `folder` keeps them for the next call.

    One whose process died or ran out of memory says so and is tried again by the next call.
    """

    def path(place: int) -> Path:
        return folder / f"{minima[place].cid}.json"

    def recall(place: int) -> Check | None:
        if not path(place).exists():
            return None
        return Check(**json.loads(path(place).read_text(encoding="utf-8")))

    def keep(place: int, found: Check) -> None:
        write_json(path(place), asdict(found))

    tasks = [_Task(one, level, force_threshold) for one in minima]
    for place, found, error in run_tasks(_work, tasks, workers, recall=recall, keep=keep):
        yield found or Check(minima[place].cid, f"not computed: {error}")
