"""Down to a minimum in few gradients, by quasi-Newton steps from a Hessian that is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from force2geo.dft.coordinates import coordinates_of, internal_motions

if TYPE_CHECKING:
    from force2geo.dft.coordinates import Coordinates

FIRST_RADIUS, LARGEST_RADIUS, SMALLEST_RADIUS = 0.2, 1.0, 1e-3
"""Length of a step in the coordinates' units, bohr and radian or Å."""
SOFTEST = 0.2
"""eV a unit squared: softer modes are stepped along as if they were so stiff."""
NOISE = 3e-6
"""eV, what a self-consistent field converged to 1e-8 Hartree leaves open, with room."""


def newton_step(curvature: np.ndarray, slope: np.ndarray, radius: float) -> np.ndarray:
    """Return the step (m,) down a quadratic surface, no longer than `radius`.

    Along a mode of negative curvature it goes down as if the curvature were as large and positive;
    the shift that shortens a step turns it to the steepest descent.
    """
    values, modes = np.linalg.eigh(curvature)
    stiff = np.maximum(np.abs(values), SOFTEST)
    along = modes.T @ slope

    def length(shift: float) -> float:
        return float(np.linalg.norm(along / (stiff + shift)))

    shift = 0.0
    if length(0.0) > radius:
        low, shift = 0.0, float(np.linalg.norm(along)) / radius
        for _ in range(60):
            middle = (low + shift) / 2
            low, shift = (middle, shift) if length(middle) > radius else (low, middle)
    return np.asarray(-modes @ (along / (stiff + shift)))


def secant_update(curvature: np.ndarray, step: np.ndarray, change: np.ndarray) -> np.ndarray:
    """Return a symmetric matrix near `curvature` that turns `step` (m,) into `change` (m,).

    Bofill's mean of the updates of Murtagh and Sargent (SR1) and of Powell (J. Comput. Chem. 15, 1,
    1994): unlike BFGS's it lets a curvature be, or become, negative, so that a saddle is seen.
    Modes count by their stiffness, as with BFGS: else a stiff one's error would be laid on soft
    ones, whose sign it would turn.
    """
    values, modes = np.linalg.eigh(curvature)
    root = np.sqrt(np.maximum(np.abs(values), SOFTEST))
    scale, back = (modes * root) @ modes.T, (modes / root) @ modes.T
    return np.asarray(
        curvature + scale @ _bofill(scale @ step, back @ (change - curvature @ step)) @ scale
    )


def _bofill(step: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Return the symmetric matrix (m,m) that turns `step` into `error`."""
    square, missing, along = float(step @ step), float(error @ error), float(step @ error)
    if square < 1e-16 or missing < 1e-20:
        return np.zeros((len(step), len(step)))
    mixed = np.outer(error, step)
    powell = (mixed + mixed.T) / square - along * np.outer(step, step) / square**2
    share = along**2 / (square * missing)
    sargent = np.outer(error, error) / along if share > 1e-8 else np.zeros_like(powell)
    return np.asarray(share * sargent + (1 - share) * powell)


class Descent:
    """One molecule's way down, from the points it is told of; of the same points, the same way.

    It starts at (n,3) Å, where `gradient` (n,3) eV/Å and `hessian` (3n,3n) eV/Å² are a potential's.
    `fixed` (n,3) coordinates do not move. `positions` and `forces` (eV/Å) are those of the lowest
    point yet, whose `energy` is in eV.
    """

    def __init__(
        self,
        numbers: np.ndarray,
        positions: np.ndarray,
        gradient: np.ndarray,
        hessian: np.ndarray,
        fixed: np.ndarray | None = None,
    ) -> None:
        self._fixed, self.radius = fixed, FIRST_RADIUS
        self._coordinates: Coordinates = coordinates_of(numbers, positions, fixed)
        self._curvature = self._coordinates.curvature(positions, gradient.ravel(), hessian)
        self.positions, self.energy = positions, float("inf")
        self.forces = np.full(positions.shape, np.nan)
        self._slope = np.zeros(len(self._curvature))
        self._expected = 0.0

    @property
    def max_force(self) -> float:
        """The longest force on an atom, eV/Å."""
        return _longest(self.forces)

    @property
    def stuck(self) -> bool:
        """Whether steps have become so short that none is worth a gradient."""
        return self.radius < SMALLEST_RADIUS

    def lowest_curvature(self) -> float:
        """Return the least eigenvalue (eV/Å²) of the Hessian as it is known, without rigid motions.

        It is the potential's with what the differences of gradients have taught; NaN where nothing
        can move.
        """
        basis = internal_motions(self.positions, self._fixed)
        if not basis.shape[1]:
            return float("nan")
        hessian = self._coordinates.cartesian(self.positions, self._slope, self._curvature)
        return float(np.linalg.eigvalsh(basis.T @ hessian @ basis)[0])

    def take(self, positions: np.ndarray, energy: float, forces: np.ndarray) -> bool:
        """Learn of a point: (n,3) Å, eV, (n,3) eV/Å; return whether it is the lowest now.

        One that is not has taught the Hessian all the same, and the radius is cut.
        """
        forces = forces if self._fixed is None else np.where(self._fixed, 0.0, forces)
        slope = self._coordinates.slope(positions, -forces.ravel())
        if np.isfinite(self.energy):
            step = self._coordinates.difference(positions, self.positions)
            change = slope - self._slope
            self._curvature = secant_update(self._curvature, step, change)
            rise, length = energy - self.energy, float(np.linalg.norm(step))
            if rise > NOISE or (rise > 0 and _longest(forces) >= self.max_force):
                self.radius = length / 2
                return False
            self._trust(length, -rise)
        self.positions, self.energy, self.forces, self._slope = positions, energy, forces, slope
        return True

    def _trust(self, length: float, gained: float) -> None:
        """Change the radius by how much of what was expected was gained."""
        if max(self._expected, gained) < 10 * NOISE:
            return
        if gained < 0.25 * self._expected:
            self.radius = length / 2
        elif gained > 0.75 * self._expected and length > 0.8 * self.radius:
            self.radius = min(2 * self.radius, LARGEST_RADIUS)

    def fail(self, positions: np.ndarray) -> None:
        """Learn of a place (n,3) Å that has no energy: the radius is cut."""
        away = self._coordinates.difference(positions, self.positions)
        self.radius = float(np.linalg.norm(away)) / 2

    def propose(self) -> np.ndarray:
        """Return where to compute next, (n,3) Å."""
        step = newton_step(self._curvature, self._slope, self.radius)
        self._expected = -float(self._slope @ step + step @ self._curvature @ step / 2)
        return self._coordinates.moved(self.positions, step)


def _longest(forces: np.ndarray) -> float:
    return float(np.linalg.norm(forces, axis=1).max())
