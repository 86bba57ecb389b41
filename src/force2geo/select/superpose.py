"""Rigid superposition."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable


def transform(moving: np.ndarray, fixed: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Return the rigid motion of points (m,3) that lays `moving` (n,3) on `fixed` (n,3).

    Least squares, Kabsch (1976): proper rotations only, so a mirror image stays one.
    """
    centre_moving, centre_fixed = moving.mean(axis=0), fixed.mean(axis=0)
    covariance = (moving - centre_moving).T @ (fixed - centre_fixed)
    left, _, right = np.linalg.svd(covariance)
    handedness = np.sign(np.linalg.det(left @ right))
    rotation = left @ np.diag([1.0, 1.0, handedness]) @ right
    return lambda points: (points - centre_moving) @ rotation + centre_fixed


def superpose(moving: np.ndarray, fixed: np.ndarray) -> np.ndarray:
    """Return `moving` (n,3) rotated and shifted onto `fixed` (n,3) with least squares."""
    return transform(moving, fixed)(moving)


def rmsd(one: np.ndarray, other: np.ndarray) -> float:
    """Return the root-mean-square deviation in Å after superposition, atoms in given order."""
    difference = superpose(one, other) - other
    return float(np.sqrt((difference**2).sum(axis=1).mean()))
