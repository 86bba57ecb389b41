"""Single points of many geometries in parallel; a failure is a row, never the end."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from force2geo.dft.kernels import import_pyscf
from force2geo.dft.level import Level, build_mean_field, on_gpu
from force2geo.dft.pool import run_tasks
from force2geo.files import hash_value, write_json
from force2geo.units import GRADIENT_TO_FORCE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

LEVEL_SHIFT = 0.3  # Hartree
TOO_CLOSE = 0.1
"""Å; no two nuclei come nearer in a molecule."""
COMPUTED, FAILED, NOT_COMPUTED = "computed", "failed", "not computed"


@dataclass
class SinglePoint:
    """`energy` Hartree, `max_force` eV/Å (None without forces); `error` empty when good.

    `outcome` is `computed`; `failed` where the geometry has no energy at this level, its field
    does not converge; `not computed` where the machine or the input is to blame (time, memory, a
    process that died, a basis without the element), which says nothing of the geometry. `aid` is
    what it took to converge: nothing, `level shift` or `second order`.
    """

    energy: float | None
    max_force: float | None
    seconds: float
    error: str
    aid: str = ""
    outcome: str = COMPUTED


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
        """Return the name that geometry, charge, multiplicity and level alone decide."""
        geometry = (np.round(self.positions, 8) + 0.0).tolist()  # + 0.0: -0.0 is 0.0
        state = int(self.charge), int(self.multiplicity)
        content = [self.atomic_numbers.tolist(), geometry, *state, level.as_dict()]
        return hash_value(content) + ".json"


def converge(
    numbers: np.ndarray,
    positions: np.ndarray,
    level: Level,
    guess: np.ndarray | None = None,
    charge: int = 0,
    multiplicity: int = 1,
) -> tuple[Any, float | None, str]:
    """Return the mean field, its energy in Hartree (None when nothing helped) and the aid it took.

    `guess` is a density matrix to start from.
    """
    field = on_gpu(build_mean_field(numbers, positions, level, charge, multiplicity))
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
    good = field.converged and np.isfinite(energy)
    return field, energy if good else None, aid


def unusable(positions: np.ndarray) -> str:
    """Return why a geometry (n,3) Å can have no energy, empty when it can."""
    if not np.isfinite(positions).all():
        return "positions are not finite"
    apart = np.linalg.norm(positions[:, None] - positions, axis=2)
    near = np.argwhere(np.triu(apart < TOO_CLOSE, 1))
    return f"atoms {near[0][0]} and {near[0][1]} stand at one point" if len(near) else ""


def compute(task: Task, level: Level) -> SinglePoint:
    """Compute one single point; what goes wrong, but for want of memory, is in `error`."""
    start = time.perf_counter()

    def ended(outcome: str, error: str, energy: float | None = None, aid: str = "") -> SinglePoint:
        return SinglePoint(energy, None, time.perf_counter() - start, error, aid, outcome)

    reason = unusable(task.positions)
    if reason:
        return ended(FAILED, reason)
    try:
        field, energy, aid = converge(
            task.atomic_numbers,
            task.positions,
            level,
            charge=int(task.charge),
            multiplicity=int(task.multiplicity),
        )
        if energy is None:
            return ended(FAILED, "self-consistent field did not converge", aid=aid)
        result = ended(COMPUTED, "", energy, aid)
        if task.forces:
            forces = field.nuc_grad_method().kernel() * GRADIENT_TO_FORCE
            result.max_force = float(np.linalg.norm(forces, axis=1).max())
            result.seconds = time.perf_counter() - start
    except MemoryError:
        raise
    except (np.linalg.LinAlgError, ArithmeticError) as problem:
        return ended(FAILED, f"{type(problem).__name__}: {problem}")
    except Exception as problem:  # PySCF raises many kinds; the row keeps which
        return ended(NOT_COMPUTED, " ".join(f"{type(problem).__name__}: {problem}".split()))
    return result


def _work(job: tuple[Task, Level]) -> dict[str, Any]:
    import_pyscf(threads=1)
    return asdict(compute(*job))


def _stored(path: Path, forces: bool) -> dict[str, Any] | None:
    """Return what is in the cache, None where there is nothing or forces are wanting."""
    if not path.exists():
        return None
    result = SinglePoint(**json.loads(path.read_text(encoding="utf-8")))
    without = forces and result.outcome == COMPUTED and result.max_force is None
    return None if without else asdict(result)


def single_points(
    tasks: Sequence[Task],
    level: Level,
    cache: Path,
    workers: int,
    seconds: float | None = None,
    megabytes: float | None = None,
) -> Iterator[tuple[Task, SinglePoint]]:
    """Yield every task with its result; results in `cache` are not computed again.

    A geometry that stands in several tasks is computed once. One that takes longer than `seconds`,
    needs more than `megabytes`, brings its process down or is otherwise not computed is tried once
    more after the others, by half as many workers with twice the time and memory; if that does not
    help either, it is a result with that error, is not kept, and a later call tries it again.
    """
    cache.mkdir(parents=True, exist_ok=True)
    same: dict[str, list[Task]] = defaultdict(list)
    for task in tasks:
        same[task.cache_name(level)].append(task)
    names = list(same)
    jobs = [replace(group[0], forces=any(task.forces for task in group)) for group in same.values()]

    def recall(place: int) -> dict[str, Any] | None:
        return _stored(cache / names[place], jobs[place].forces)

    def keep(place: int, found: dict[str, Any]) -> None:
        if found["outcome"] != NOT_COMPUTED:
            write_json(cache / names[place], found)

    def again(found: Any, error: str) -> bool:
        return bool(error) or found["outcome"] == NOT_COMPUTED

    work = [(job, level) for job in jobs]
    results = run_tasks(
        _work, work, workers, seconds, megabytes, recall=recall, keep=keep, again=again
    )
    for place, found, error in results:
        result = SinglePoint(**found) if found else _undone(error)
        yield from _shared(same[names[place]], result)


def _undone(error: str) -> SinglePoint:
    return SinglePoint(None, None, 0.0, error, outcome=NOT_COMPUTED)


def _shared(group: list[Task], result: SinglePoint) -> Iterator[tuple[Task, SinglePoint]]:
    """Yield the result for each task of one geometry, with forces where they were asked for."""
    for task in group:
        yield task, result if task.forces else replace(result, max_force=None)
