"""BFGS relaxation of many molecules at once, with the steps ASE's `BFGS` would take.

Initial Hessian 70 eV/Å², steps limited to 0.2 Å, negative curvatures taken as positive
(`ase.optimize.bfgs`). Forces of all molecules that still move come from one batched call.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    Evaluate = Callable[[list[np.ndarray], list[np.ndarray]], list[tuple[float, np.ndarray]]]

INITIAL_CURVATURE = 70.0
MAX_STEP = 0.2
# With a force beyond this (eV/Å) the structure is no molecule any more.
EXPLODED = 1e4


@dataclass
class Relaxation:
    """A molecule on its way: `frames` (n,3) Å each, `energies` eV, `max_forces` eV/Å.

    `status` is `running`, `converged`, `step limit` or `exploded`.
    """

    atomic_numbers: np.ndarray
    positions: np.ndarray
    status: str = "running"
    frames: list[np.ndarray] = field(default_factory=list)
    energies: list[float] = field(default_factory=list)
    max_forces: list[float] = field(default_factory=list)
    hessian: np.ndarray | None = None
    before: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def steps(self) -> int:
        """Number of steps taken."""
        return len(self.frames) - 1

    def advance(self, energy: float, forces: np.ndarray, threshold: float, limit: int) -> None:
        """Record energy (eV) and forces (n,3) eV/Å of the positions; stop or take a step."""
        largest = float(np.sqrt((forces**2).sum(axis=1).max()))
        self.frames.append(self.positions.copy())
        self.energies.append(energy)
        self.max_forces.append(largest)
        if not np.isfinite(largest) or not np.isfinite(energy) or largest > EXPLODED:
            self.status = "exploded"
        elif largest < threshold:
            self.status = "converged"
        elif self.steps >= limit:
            self.status = "step limit"
        else:
            self.positions = self.positions + self._step(forces)

    def _step(self, forces: np.ndarray) -> np.ndarray:
        flat, gradient = self.positions.ravel(), -forces.ravel()
        if self.hessian is None or self.before is None:
            self.hessian = INITIAL_CURVATURE * np.eye(len(flat))
        else:
            moved, change = flat - self.before[0], gradient - self.before[1]
            if np.abs(moved).max() >= 1e-7:
                bent = self.hessian @ moved
                self.hessian = (
                    self.hessian
                    + np.outer(change, change) / (moved @ change)
                    - np.outer(bent, bent) / (moved @ bent)
                )
        self.before = (flat.copy(), gradient.copy())
        curvature, modes = np.linalg.eigh(self.hessian)
        step = (modes @ (-(gradient @ modes) / np.abs(curvature))).reshape(-1, 3)
        longest = float(np.sqrt((step**2).sum(axis=1).max()))
        return step * (MAX_STEP / longest) if longest > MAX_STEP else step


def relax(
    atomic_numbers: list[np.ndarray],
    positions: list[np.ndarray],
    evaluate: Evaluate,
    threshold: float = 0.05,
    limit: int = 500,
    batch_size: int = 256,
    on_finished: Callable[[], None] | None = None,
) -> list[Relaxation]:
    """Relax molecules until max|f| < `threshold` eV/Å (eq. 7) or `limit` steps.

    `evaluate(numbers, positions)` returns `(energy eV, forces (n,3) eV/Å)` of each molecule.
    Finished molecules leave the batch and waiting ones enter it.
    """
    runs = [Relaxation(z, x.astype(float)) for z, x in zip(atomic_numbers, positions, strict=True)]
    waiting = list(reversed(runs))
    active: list[Relaxation] = []
    while waiting or active:
        while waiting and len(active) < batch_size:
            active.append(waiting.pop())
        results = evaluate([r.atomic_numbers for r in active], [r.positions for r in active])
        for run, (energy, forces) in zip(active, results, strict=True):
            run.advance(energy, forces, threshold, limit)
            if run.status != "running":
                run.hessian = run.before = None
                if on_finished:
                    on_finished()
        active = [run for run in active if run.status == "running"]
    return runs
