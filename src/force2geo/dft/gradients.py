"""Energies and gradients of many geometries, each in a process of limited time and memory."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from force2geo.dft.kernels import import_pyscf
from force2geo.dft.level import on_host
from force2geo.dft.pool import run_tasks
from force2geo.dft.single_points import COMPUTED, FAILED, NOT_COMPUTED, converge, unusable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from force2geo.dft.level import Level


@dataclass
class Task:
    """A geometry: atomic numbers (n,), positions (n,3) Å, charge in e.

    `guess` is the density matrix of one nearby, which saves half the cycles.
    """

    atomic_numbers: np.ndarray
    positions: np.ndarray
    level: Level
    charge: int = 0
    multiplicity: int = 1
    guess: np.ndarray | None = None


@dataclass
class Gradient:
    """`energy` Hartree, `gradient` (n,3) Hartree/bohr, the `density` matrix they are of.

    `outcome` is `computed`, `failed` or `not computed` with the `error`, as `SinglePoint`'s is.
    """

    energy: float = float("nan")
    gradient: np.ndarray | None = None
    density: np.ndarray | None = None
    seconds: float = 0.0
    error: str = ""
    outcome: str = COMPUTED


def compute(task: Task) -> Gradient:
    """Compute one gradient; what goes wrong, but for want of memory, is in `error`."""
    if reason := unusable(task.positions):
        return Gradient(error=reason, outcome=FAILED)
    about = task.atomic_numbers, task.positions, task.level, task.guess
    try:
        field, energy, _ = converge(*about, int(task.charge), int(task.multiplicity))
        if energy is None:
            return Gradient(error="self-consistent field did not converge", outcome=FAILED)
        gradient = on_host(field.nuc_grad_method().kernel())
        density = on_host(field.make_rdm1())
    except MemoryError:
        raise
    except (np.linalg.LinAlgError, ArithmeticError) as problem:
        return Gradient(error=f"{type(problem).__name__}: {problem}", outcome=FAILED)
    except Exception as problem:  # PySCF raises many kinds; the molecule's status keeps which
        error = " ".join(f"{type(problem).__name__}: {problem}".split())
        return Gradient(error=error, outcome=NOT_COMPUTED)
    if not np.isfinite(gradient).all():
        return Gradient(error="the gradient is no number", outcome=FAILED)
    return Gradient(energy, gradient, density)


def _work(task: Task) -> Gradient:
    import_pyscf(threads=1)
    begun = time.perf_counter()
    found = compute(task)
    found.seconds = time.perf_counter() - begun  # one that fails takes its time, too
    return found


def gradients(
    tasks: Sequence[Task],
    workers: int = 1,
    seconds: float | None = None,
    megabytes: float | None = None,
) -> Iterator[tuple[int, Gradient]]:
    """Yield place and result of every task as it ends.

    One that takes longer than `seconds`, needs more than `megabytes` or brings its process down is
    tried once more after the others, by half as many workers with twice the time and memory; then
    it is `not computed`.
    """
    ended = run_tasks(_work, tasks, workers, seconds, megabytes, again=_again)
    for place, found, error in ended:
        yield place, found or Gradient(error=error, outcome=NOT_COMPUTED)


def _again(found: Gradient | None, error: str) -> bool:
    return found is None or found.outcome == NOT_COMPUTED
