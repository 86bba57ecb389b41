"""Single points of many geometries in parallel; a failure is a row, never the end."""

from __future__ import annotations

import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from force2geo.dft.level import Level, build_mean_field
from force2geo.files import hash_value, write_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


@dataclass
class SinglePoint:
    """`energy` Hartree, `max_force` eV/Å (None without forces); `error` empty when good."""

    energy: float | None
    max_force: float | None
    seconds: float
    error: str


@dataclass
class Task:
    """A geometry to compute: atomic numbers (n,), positions (n,3) Å."""

    key: tuple[str, str]
    atomic_numbers: np.ndarray
    positions: np.ndarray
    forces: bool = False

    def cache_name(self, level: Level) -> str:
        """Return the name that geometry and level alone decide."""
        geometry = np.round(self.positions, 8).tolist()
        content = [self.atomic_numbers.tolist(), geometry, level.as_dict(), self.forces]
        return hash_value(content) + ".json"


def compute(task: Task, level: Level) -> SinglePoint:
    """Compute one single point; what goes wrong is in `error`."""
    from force2geo.units import GRADIENT_TO_FORCE

    start = time.perf_counter()
    energy, max_force, error = None, None, ""
    try:
        if not np.isfinite(task.positions).all():
            raise ValueError("positions are not finite")
        field = build_mean_field(task.atomic_numbers, task.positions, level)
        value = float(field.kernel())
        if not field.converged:
            field = field.newton()
            value = float(field.kernel())
        if not field.converged:
            error = "self-consistent field did not converge"
        else:
            energy = value
            if task.forces:
                forces = field.nuc_grad_method().kernel() * GRADIENT_TO_FORCE
                max_force = float(np.linalg.norm(forces, axis=1).max())
    except Exception as problem:  # PySCF raises many kinds; the row keeps which
        error = f"{type(problem).__name__}: {problem}"
    return SinglePoint(energy, max_force, time.perf_counter() - start, error)


def _worker(task: Task, level: Level) -> dict[str, Any]:
    import pyscf.lib

    pyscf.lib.num_threads(1)
    return asdict(compute(task, level))


def single_points(
    tasks: Sequence[Task], level: Level, cache: Path, workers: int
) -> Iterator[tuple[Task, SinglePoint]]:
    """Yield every task with its result; results in `cache` are not computed again."""
    import json
    import multiprocessing

    cache.mkdir(parents=True, exist_ok=True)
    missing = []
    for task in tasks:
        stored = cache / task.cache_name(level)
        if stored.exists():
            yield task, SinglePoint(**json.loads(stored.read_text()))
        else:
            missing.append(task)
    # Forking a process that has threads (BLAS, torch) can hang; spawning cannot.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        futures = {pool.submit(_worker, task, level): task for task in missing}
        for future in as_completed(futures):
            task = futures[future]
            try:
                result = SinglePoint(**future.result())
            except Exception as problem:  # a worker that died takes its task with it, no more
                result = SinglePoint(None, None, 0.0, f"{type(problem).__name__}: {problem}")
            if not result.error:
                write_json(cache / task.cache_name(level), asdict(result))
            yield task, result
