"""Whether a relaxed molecule is still the one it was, by distances against covalent radii."""

from __future__ import annotations

import numpy as np
from ase.data import covalent_radii

# Of the sum of covalent radii (Cordero et al. 2008): nearer than the first is a bond, beyond the
# second it is broken, within the third a new one has formed. What lies between stays as it was.
BOND, BROKEN, FORMED = 1.3, 1.6, 1.15


def what_became_of_bonds(numbers: np.ndarray, before: np.ndarray, after: np.ndarray) -> str:
    """Return `dissociated`, `bonds changed` or nothing, of (n,) elements and (n,3) Å twice."""
    radii = covalent_radii[numbers]
    sums = radii[:, None] + radii
    ratios = [np.linalg.norm(x[:, None] - x, axis=2) / sums for x in (before, after)]
    for ratio in ratios:
        np.fill_diagonal(ratio, np.inf)
    bonds = ratios[0] < BOND
    now = (bonds & (ratios[1] < BROKEN)) | (ratios[1] < FORMED)
    if (now == bonds).all():
        return ""
    return "dissociated" if _pieces(now) > _pieces(bonds) else "bonds changed"


def _pieces(bonds: np.ndarray) -> int:
    """Return how many molecules the bonds make."""
    label = np.arange(len(bonds))
    while True:
        # Every atom takes the lowest label in its neighbourhood.
        lowest = np.where(bonds | np.eye(len(bonds), dtype=bool), label, len(bonds)).min(axis=1)
        if (lowest == label).all():
            return len(set(label.tolist()))
        label = lowest
