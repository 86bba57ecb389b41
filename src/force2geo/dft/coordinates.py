"""Coordinates of a molecule's shape, in which steps are taken: none moves it as a whole.

Delocalised internal coordinates (bonds, angles, torsions: Baker, Kessi & Delley, J. Chem. Phys.
105, 192, 1996) by geomeTRIC, in which a methyl group turns without stretching its bonds; where
atoms are held, or internal coordinates fail, Cartesian ones without rigid motions.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

import numpy as np

from force2geo.elements import SYMBOLS
from force2geo.units import BOHR_TO_ANGSTROM

if TYPE_CHECKING:
    from typing import Any


class Coordinates(Protocol):
    """m coordinates; positions (n,3) Å, gradients (3n,) eV/Å, Hessians (3n,3n) eV/Å²."""

    def slope(self, positions: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        """Return the gradient (m,) along the coordinates."""

    def curvature(
        self, positions: np.ndarray, gradient: np.ndarray, hessian: np.ndarray
    ) -> np.ndarray:
        """Return the Hessian (m,m) along the coordinates."""

    def cartesian(
        self, positions: np.ndarray, slope: np.ndarray, curvature: np.ndarray
    ) -> np.ndarray:
        """Return the Hessian (3n,3n) eV/Å² of a slope (m,) and a curvature (m,m) here."""

    def difference(self, after: np.ndarray, before: np.ndarray) -> np.ndarray:
        """Return how far (m,) one geometry is from another."""

    def moved(self, positions: np.ndarray, step: np.ndarray) -> np.ndarray:
        """Return the positions (n,3) Å a step (m,) away."""


def rigid_motions(positions: np.ndarray, fixed: np.ndarray | None = None) -> np.ndarray:
    """Return an orthonormal basis (3n,k) of the translations and rotations of (n,3) Å.

    k is 6, or 5 for a line, or 3 for an atom. Of motions that would move a `fixed` (n,3)
    coordinate none is returned.
    """
    centred = positions - positions.mean(axis=0)
    moves = [np.broadcast_to(axis, positions.shape) for axis in np.eye(3)]
    moves += [np.cross(axis, centred) for axis in np.eye(3)]
    # A line's rotation about itself moves nothing.
    columns = _range(np.array(moves).reshape(6, -1).T)
    if fixed is not None and fixed.any():
        columns = columns @ _null_space(columns[fixed.ravel()])
    return columns


def internal_motions(positions: np.ndarray, fixed: np.ndarray | None = None) -> np.ndarray:
    """Return an orthonormal basis (3n,m) of the motions that change the shape of (n,3) Å.

    `fixed` (n,3) coordinates do not move.
    """
    held = np.zeros(positions.size, bool) if fixed is None else fixed.ravel()
    pinned = np.eye(positions.size)[:, held]
    return _null_space(np.hstack([pinned, rigid_motions(positions, fixed)]).T)


def _range(columns: np.ndarray) -> np.ndarray:
    left, values, _ = np.linalg.svd(columns, full_matrices=False)
    return left[:, values > 1e-6]


def _null_space(rows: np.ndarray) -> np.ndarray:
    _, values, right = np.linalg.svd(rows)
    return right[int((values > 1e-6).sum()) :].T


class Frame:
    """Cartesian displacements from where the molecule was, without rigid motions (Eckart's)."""

    def __init__(self, positions: np.ndarray, fixed: np.ndarray | None = None) -> None:
        self.basis = internal_motions(positions, fixed)
        if fixed is not None:
            self.basis[fixed.ravel()] = 0.0  # not even by round-off

    def slope(self, positions: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        """Return the gradient's part in the basis."""
        return self.basis.T @ gradient

    def curvature(
        self, positions: np.ndarray, gradient: np.ndarray, hessian: np.ndarray
    ) -> np.ndarray:
        """Return the Hessian in the basis."""
        return self.basis.T @ hessian @ self.basis

    def cartesian(
        self, positions: np.ndarray, slope: np.ndarray, curvature: np.ndarray
    ) -> np.ndarray:
        """Return the Hessian, flat along what is not in the basis."""
        return self.basis @ curvature @ self.basis.T

    def difference(self, after: np.ndarray, before: np.ndarray) -> np.ndarray:
        """Return the displacement in the basis, Å."""
        return self.basis.T @ (after - before).ravel()

    def moved(self, positions: np.ndarray, step: np.ndarray) -> np.ndarray:
        """Return the positions a step (Å) away."""
        return positions + (self.basis @ step).reshape(-1, 3)


class Internals:
    """Bonds (bohr), angles and torsions (rad), combined to as many as there are ways to move."""

    def __init__(self, numbers: np.ndarray, positions: np.ndarray) -> None:
        from geometric.internal import DelocalizedInternalCoordinates
        from geometric.molecule import Molecule

        molecule = Molecule()
        molecule.elem = [SYMBOLS[int(z)] for z in numbers]
        molecule.xyzs = [positions.copy()]
        molecule.build_topology()
        self._made: Any = DelocalizedInternalCoordinates(molecule, build=True, connect=True)
        wanted = 3 * len(numbers) - rigid_motions(positions).shape[1]
        if len(self._made.Internals) != wanted:
            raise ValueError(f"{len(self._made.Internals)} internal coordinates, not {wanted}")

    def slope(self, positions: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        """Return the gradient, eV a unit."""
        return np.asarray(self._made.calcGrad(_bohr(positions), gradient * BOHR_TO_ANGSTROM))

    def curvature(
        self, positions: np.ndarray, gradient: np.ndarray, hessian: np.ndarray
    ) -> np.ndarray:
        """Return the Hessian, eV a unit squared; of a slope, coordinates' curvature is a part."""
        own = gradient * BOHR_TO_ANGSTROM, hessian * BOHR_TO_ANGSTROM**2
        found = np.asarray(self._made.calcHess(_bohr(positions), *own))
        return (found + found.T) / 2

    def cartesian(
        self, positions: np.ndarray, slope: np.ndarray, curvature: np.ndarray
    ) -> np.ndarray:
        """Return the Hessian that bonds, angles and torsions stand for here."""
        found = np.asarray(self._made.calcHessCart(_bohr(positions), slope, curvature))
        return found / BOHR_TO_ANGSTROM**2

    def difference(self, after: np.ndarray, before: np.ndarray) -> np.ndarray:
        """Return how far they are apart; torsions the shorter way round."""
        return np.asarray(self._made.calcDiff(_bohr(after), _bohr(before)))

    def moved(self, positions: np.ndarray, step: np.ndarray) -> np.ndarray:
        """Return the positions a step away, or near there where coordinates do not reach it."""
        start = _bohr(positions)
        found = np.asarray(self._made.newCartesian(start, step, verbose=0))
        if self._made.bork or not np.isfinite(found).all():
            found = start + np.linalg.pinv(self._made.wilsonB(start)) @ step
        return found.reshape(-1, 3) * BOHR_TO_ANGSTROM


def _bohr(positions: np.ndarray) -> np.ndarray:
    return np.asarray(positions, dtype=float).ravel() / BOHR_TO_ANGSTROM


def coordinates_of(
    numbers: np.ndarray, positions: np.ndarray, fixed: np.ndarray | None = None
) -> Coordinates:
    """Return the coordinates for a molecule (n,), (n,3) Å."""
    if (fixed is not None and fixed.any()) or len(numbers) < 3:
        return Frame(positions, fixed)
    before = logging.root.manager.disable
    logging.disable(logging.INFO)
    try:
        return Internals(numbers, positions)
    except ImportError:
        raise
    except Exception:  # of geomeTRIC, in any way; Cartesian coordinates are there for all
        return Frame(positions, fixed)
    finally:
        logging.disable(before)
