"""From a potential's minimum to DFT's, in few gradients.

The relaxed structure and the potential's Hessian are where quasi-Newton steps with DFT's gradients
begin (`quasi_newton`), until its largest force is under the threshold. Where a molecule is follows
from its points on disk alone, so that a kill loses no gradient.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from force2geo.dft.gradients import Gradient, Task, gradients
from force2geo.dft.level import B3LYP, Level
from force2geo.dft.points import Molecule, Points, read_points
from force2geo.dft.quasi_newton import Descent
from force2geo.dft.single_points import FAILED, NOT_COMPUTED
from force2geo.units import GRADIENT_TO_FORCE, HARTREE_TO_EV

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    # Positions (n,3) Å to a potential's gradient (n,3) eV/Å and Hessian (3n,3n) eV/Å².
    Surface = Callable[[Molecule], tuple[np.ndarray, np.ndarray]]
    Compute = Callable[[Sequence[Task]], Iterator[tuple[int, Gradient]]]

MINIMUM, SADDLE, LIMIT = "minimum", "saddle point", "gradient limit"
STUCK, UNDONE = "no lower energy", "not computed"
STATUSES = (MINIMUM, SADDLE, LIMIT, STUCK, FAILED, UNDONE)
NEGATIVE = -0.02
"""eV/Å²; less, and the lowest curvature is called negative: a free rotor's is nought, nearly."""
_AT_ONCE = 8  # molecules for each worker whose densities and Hessians are in memory


@dataclass(frozen=True)
class Settings:
    """Force threshold (eV/Å), most gradients a molecule, level, and limits of one gradient."""

    force_threshold: float = 0.05
    max_gradients: int = 20
    level: Level = B3LYP
    workers: int = 1
    seconds: float | None = None
    megabytes: float | None = None


@dataclass
class Finished:
    """What became of a molecule: where it is (n,3) Å, `energy` eV, `max_force` eV/Å by DFT.

    `status` is `minimum` or `saddle point`, by the sign of the `lowest_curvature` (eV/Å²), with
    forces below the threshold; `gradient limit`; `no lower energy` where ever shorter steps found
    none; `failed` where DFT or the potential has no energy there, and `not computed` where the
    machine is to blame and another call tries again, with the `reason`. `gradients` counts those
    asked of DFT, the last, which verifies, with them; `seconds` are theirs and the Hessian's.
    """

    status: str
    reason: str
    positions: np.ndarray
    energy: float = float("nan")
    max_force: float = float("nan")
    gradients: int = 0
    lowest_curvature: float = float("nan")
    seconds: float = 0.0


class _Finishing:
    """A molecule on its way, from the points there are."""

    def __init__(self, molecule: Molecule, points: Points, settings: Settings) -> None:
        self.molecule, self.points, self.settings = molecule, points, settings
        self.descent = Descent(
            molecule.numbers, molecule.positions, points.slope, points.hessian, molecule.fixed
        )
        self.next = molecule.positions
        self.density: np.ndarray | None = None
        self.status, self.reason, self.count = "", "", 0
        failed = deque(points.failed)
        for index in range(len(points.positions) + 1):
            while failed and failed[0][0] == index and not self.status:
                _, place, error = failed.popleft()
                self._failed(place, error)
            if index < len(points.positions) and not self.status:
                self._learn(index)

    def task(self) -> Task:
        """Return the gradient to compute next."""
        own = self.molecule
        level, state = self.settings.level, (own.charge, own.multiplicity)
        return Task(own.numbers, self.next, level, *state, self.density)

    def take(self, result: Gradient) -> bool:
        """Learn of a result for `next`; return whether there are points to be written."""
        if result.outcome == NOT_COMPUTED:
            self.status, self.reason = UNDONE, result.error
            return False
        points = self.points
        points.seconds += result.seconds
        if result.outcome == FAILED or result.gradient is None:
            points.failed.append((len(points.positions), self.next, result.error))
            self._failed(self.next, result.error)
            return True
        self.density = result.density
        points.positions.append(self.next)
        points.energies.append(result.energy)
        points.gradients.append(result.gradient)
        self._learn(len(points.positions) - 1)
        return True

    def _learn(self, index: int) -> None:
        points = self.points
        forces = points.gradients[index] * GRADIENT_TO_FORCE
        self.descent.take(points.positions[index], points.energies[index] * HARTREE_TO_EV, forces)
        self._go_on()

    def _failed(self, place: np.ndarray, error: str) -> None:
        if not np.isfinite(self.descent.energy):
            self.status, self.reason, self.count = FAILED, error, self.count + 1
            return
        self.descent.fail(place)
        self._go_on()

    def _go_on(self) -> None:
        """Count a gradient, and find the next place or the end."""
        self.count += 1
        if self.descent.max_force < self.settings.force_threshold:
            saddle = self.descent.lowest_curvature() < NEGATIVE
            self.status = SADDLE if saddle else MINIMUM
        elif self.count >= self.settings.max_gradients:
            self.status = LIMIT
        elif self.descent.stuck:
            self.status = STUCK
        else:
            self.next = self.descent.propose()

    def result(self) -> Finished:
        known, spent = self.descent, self.points.seconds
        about = self.status, self.reason, known.positions
        if not np.isfinite(known.energy):
            return Finished(*about, gradients=self.count, seconds=spent)
        curvature = known.lowest_curvature()
        return Finished(*about, known.energy, known.max_force, self.count, curvature, spent)


def finish(
    molecules: Sequence[Molecule],
    surface: Surface,
    settings: Settings,
    folder: Path,
    potential: dict[str, Any],
    compute: Compute | None = None,
) -> Iterator[tuple[int, Finished]]:
    """Yield place and end of each molecule as it has been finished.

    `surface` gives a potential's slope and curvature where a molecule is; `potential` is what tells
    it from others. Points are in `folder`, a file for each molecule, start, level and potential:
    those of an earlier call are not computed again. `compute` is DFT, unless given.
    """
    if compute is None:
        limits = settings.workers, settings.seconds, settings.megabytes
        compute = partial(_compute, limits)
    waiting = deque(enumerate(molecules))
    moving: list[tuple[int, _Finishing]] = []
    while waiting or moving:
        while waiting and len(moving) < _AT_ONCE * settings.workers:
            place, molecule = waiting.popleft()
            points = _points(molecule, surface, settings.level, folder, potential)
            if points is None:
                reason = "the potential has no forces about the relaxed structure"
                yield place, Finished(FAILED, reason, molecule.positions)
                continue
            one = _Finishing(molecule, points, settings)
            if one.status:
                yield place, one.result()
            else:
                moving.append((place, one))
        for index, result in compute([one.task() for _, one in moving]):
            place, one = moving[index]
            if one.take(result):
                one.points.write(one.molecule, settings.level, potential)
            if one.status:
                yield place, one.result()
        moving = [(place, one) for place, one in moving if not one.status]


def _compute(
    limits: tuple[int, float | None, float | None], tasks: Sequence[Task]
) -> Iterator[tuple[int, Gradient]]:
    return gradients(tasks, *limits)


def points_path(molecule: Molecule, level: Level, folder: Path, potential: dict[str, Any]) -> Path:
    """Return where a molecule's points lie."""
    return folder / f"{molecule.cid}.{molecule.key(level, potential)}.npz"


def _points(
    molecule: Molecule, surface: Surface, level: Level, folder: Path, potential: dict[str, Any]
) -> Points | None:
    """Return the points there are, or none of them with the potential's Hessian; None without."""
    path = points_path(molecule, level, folder, potential)
    if path.exists():
        return read_points(path)
    begun = time.perf_counter()
    slope, hessian = surface(molecule)
    if not (np.isfinite(slope).all() and np.isfinite(hessian).all()):
        return None
    return Points(path, slope, hessian, seconds=time.perf_counter() - begun)
