"""What elements alone make of energies and other sums over atoms, fitted to the training set."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from force2geo.elements import MAX_ATOMIC_NUMBER
from force2geo.errors import UserError

if TYPE_CHECKING:
    from force2geo.train.molecules import Molecules
    from force2geo.train.snapshots import Snapshots


def fit_references(snapshots: Snapshots, kind: str) -> np.ndarray:
    """Return reference energies (101,) in eV, by atomic number.

    `per_element` is the least-squares fit of total energies to compositions; `mean` gives every
    element the mean energy per atom. `UserError` when an energy is no number.
    """
    size = MAX_ATOMIC_NUMBER + 1
    # Normal equations: memory does not grow with the number of snapshots.
    gram, right = np.zeros((size, size)), np.zeros(size)
    for composition, energy in snapshots.compositions():
        counts, energies = composition.numpy(), energy.numpy()
        if kind == "mean":
            per_atom = energies / counts.sum(axis=1)
            gram[0, 0], right[0] = gram[0, 0] + len(per_atom), right[0] + per_atom.sum()
        else:
            gram, right = gram + counts.T @ counts, right + counts.T @ energies
    if not np.isfinite(right).all():
        raise UserError("snapshots to train on have energies that are not finite numbers")
    if kind == "mean":
        return np.full(size, right[0] / gram[0, 0])
    return _solution(gram, right)


def fit_target_references(molecules: Molecules, target: str) -> tuple[np.ndarray, np.ndarray]:
    """Return (101,) by atomic number, the least-squares fit of a target to compositions.

    Beside it (M,), what it leaves of the target, in its unit.
    """
    counts = molecules.compositions().double().cpu().numpy()
    values = molecules.targets[target].cpu().numpy()
    references = np.zeros(MAX_ATOMIC_NUMBER + 1)
    elements = molecules.elements()
    references[elements] = _solution(counts.T @ counts, counts.T @ values)
    return references, values - counts @ references[elements]


def _solution(gram: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return what solves the normal equations, zero for elements that are not there."""
    seen = gram.diagonal() > 0
    references = np.zeros(len(gram))
    references[seen] = np.linalg.lstsq(gram[np.ix_(seen, seen)], right[seen], rcond=1e-12)[0]
    return references
