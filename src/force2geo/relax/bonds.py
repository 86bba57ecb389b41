"""Whether a relaxed molecule is still the one it was, by distances against covalent radii."""

from __future__ import annotations

import numpy as np
from ase.data import covalent_radii

# Of the sum of covalent radii (Cordero et al. 2008): nearer than the first is a bond, beyond the
# second it is broken, within the third a new one has formed. What lies between stays as it was.
BOND, BROKEN, FORMED = 1.3, 1.6, 1.15

# These are bonded in every molecule and in every ion (H, B, C, N, O, Si, P, S, Ge, As, Se): one
# alone was torn off. Others are alone in salts, or as noble gases.
_NEVER_ALONE = (1, 5, 6, 7, 8, 14, 15, 16, 32, 33, 34)


def what_became_of_bonds(
    numbers: np.ndarray, before: np.ndarray, after: np.ndarray, bonds: np.ndarray | None = None
) -> str:
    """Return `dissociated`, `bonds changed` or nothing, of (n,) elements and (n,3) Å twice.

    `bonds` (k,2) are the atoms bonded before where that is known; distances tell otherwise.
    """
    ratios = _ratios(numbers, before), _ratios(numbers, after)
    had = ratios[0] < (BOND if bonds is None else FORMED)
    if bonds is not None:
        had[bonds[:, 0], bonds[:, 1]] = had[bonds[:, 1], bonds[:, 0]] = True
    has = (had & (ratios[1] < BROKEN)) | (ratios[1] < FORMED)
    if (has == had).all():
        return ""
    return "dissociated" if _pieces(has) > _pieces(had) else "bonds changed"


def lone_atoms(
    numbers: np.ndarray, positions: np.ndarray, bonds: np.ndarray | None = None
) -> list[int]:
    """Return the atoms without a neighbour that cannot be alone; none where bonds are known.

    Where they are, one that is torn off has lost a bond and needs no guess.
    """
    if bonds is not None or len(numbers) < 2:
        return []
    alone = (_ratios(numbers, positions) >= BROKEN).all(axis=1)
    return np.flatnonzero(alone & np.isin(numbers, _NEVER_ALONE)).tolist()


def _ratios(numbers: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Return (n,n) distances by sums of radii, without end on the diagonal."""
    radii = covalent_radii[numbers]
    ratios = np.linalg.norm(positions[:, None] - positions, axis=2) / (radii[:, None] + radii)
    np.fill_diagonal(ratios, np.inf)
    return ratios


def _pieces(bonds: np.ndarray) -> int:
    """Return how many molecules the bonds make."""
    label = np.arange(len(bonds))
    while True:
        # Every atom takes the lowest label in its neighbourhood.
        lowest = np.where(bonds | np.eye(len(bonds), dtype=bool), label, len(bonds)).min(axis=1)
        if (lowest == label).all():
            return len(set(label.tolist()))
        label = lowest
