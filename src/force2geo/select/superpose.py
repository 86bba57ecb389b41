"""Rigid superposition."""

from __future__ import annotations

import numpy as np


def superpose(moving: np.ndarray, fixed: np.ndarray) -> np.ndarray:
    """Return `moving` (n,3) rotated and shifted onto `fixed` (n,3) with least squares.

    Kabsch (1976): proper rotations only, so a mirror image stays one.
    """
    centre_moving, centre_fixed = moving.mean(axis=0), fixed.mean(axis=0)
    covariance = (moving - centre_moving).T @ (fixed - centre_fixed)
    left, _, right = np.linalg.svd(covariance)
    handedness = np.sign(np.linalg.det(left @ right))
    rotation = left @ np.diag([1.0, 1.0, handedness]) @ right
    return (moving - centre_moving) @ rotation + centre_fixed


def rmsd(one: np.ndarray, other: np.ndarray) -> float:
    """Return the root-mean-square deviation in Å after superposition, atoms in given order."""
    difference = superpose(one, other) - other
    return float(np.sqrt((difference**2).sum(axis=1).mean()))
