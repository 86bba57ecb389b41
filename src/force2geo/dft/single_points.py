"""Single points of many geometries in parallel; a failure is a row, never the end."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from force2geo.dft.level import Level, build_mean_field, on_gpu
from force2geo.dft.limited import run_limited
from force2geo.files import hash_value, write_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

LEVEL_SHIFT = 0.3  # Hartree


@dataclass
class SinglePoint:
    """`energy` Hartree, `max_force` eV/Å (None without forces); `error` empty when good.

    `aid` is what it took to converge: nothing, `level shift` or `second order`.
    """

    energy: float | None
    max_force: float | None
    seconds: float
    error: str
    aid: str = ""


@dataclass
class Task:
    """A geometry to compute: atomic numbers (n,), positions (n,3) Å, charge in e."""

    key: tuple[str, str]
    atomic_numbers: np.ndarray
    positions: np.ndarray
    forces: bool = False
    charge: int = 0
    multiplicity: int = 1

    def cache_name(self, level: Level) -> str:
        """Return the name that geometry and level alone decide."""
        geometry = np.round(self.positions, 8).tolist()
        content = [self.atomic_numbers.tolist(), geometry, level.as_dict(), self.forces]
        return hash_value(content) + ".json"


def converge(
    numbers: np.ndarray, positions: np.ndarray, level: Level, guess: np.ndarray | None = None
) -> tuple[Any, float | None, str]:
    """Return the mean field, its energy in Hartree (None when nothing helped) and the aid it took.

    `guess` is a density matrix to start from.
    """
    field = on_gpu(build_mean_field(numbers, positions, level))
    aid, energy = "", float(field.kernel(dm0=guess))
    if not field.converged:
        aid = "level shift"
        field.level_shift, field.max_cycle = LEVEL_SHIFT, 100
        energy = float(field.kernel(dm0=field.make_rdm1()))
    if not field.converged:
        aid = "second order"
        field.level_shift = 0.0
        field = field.newton()
        energy = float(field.kernel())
    return field, energy if field.converged else None, aid


def compute(task: Task, level: Level) -> SinglePoint:
    """Compute one single point; what goes wrong is in `error`."""
    from force2geo.units import GRADIENT_TO_FORCE

    start = time.perf_counter()
    energy, max_force, error, aid = None, None, "", ""
    try:
        if not np.isfinite(task.positions).all():
            raise ValueError("positions are not finite")
        field, energy, aid = converge(task.atomic_numbers, task.positions, level)
        if energy is None:
            error = "self-consistent field did not converge"
        elif task.forces:
            forces = field.nuc_grad_method().kernel() * GRADIENT_TO_FORCE
            max_force = float(np.linalg.norm(forces, axis=1).max())
    except Exception as problem:  # PySCF raises many kinds; the row keeps which
        error = f"{type(problem).__name__}: {problem}"
    return SinglePoint(energy, max_force, time.perf_counter() - start, error, aid)


def _work(job: tuple[Task, Level]) -> dict[str, Any]:
    import pyscf.lib

    pyscf.lib.num_threads(1)
    return asdict(compute(*job))


def single_points(
    tasks: Sequence[Task],
    level: Level,
    cache: Path,
    workers: int,
    seconds: float | None = None,
    megabytes: float | None = None,
) -> Iterator[tuple[Task, SinglePoint]]:
    """Yield every task with its result; results in `cache` are not computed again.

    One that takes longer than `seconds`, needs more than `megabytes` or brings its process down
    is a result with that error.
    """
    cache.mkdir(parents=True, exist_ok=True)
    missing = []
    for task in tasks:
        stored = cache / task.cache_name(level)
        if stored.exists():
            yield task, SinglePoint(**json.loads(stored.read_text()))
        else:
            missing.append(task)
    jobs = [(task, level) for task in missing]
    for place, found, error in run_limited(_work, jobs, workers, seconds, megabytes):
        result = SinglePoint(None, None, 0.0, error) if error else SinglePoint(**found)
        if not result.error:
            write_json(cache / missing[place].cache_name(level), asdict(result))
        yield missing[place], result
