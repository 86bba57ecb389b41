"""Energies of the free elements, fitted to the training set."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from force2geo.train.snapshots import Snapshots


def fit_references(snapshots: Snapshots, kind: str) -> np.ndarray:
    """Return reference energies (101,) in eV, by atomic number.

    `per_element` is the least-squares fit of total energies to compositions; `mean` gives every
    element the mean energy per atom.
    """
    composition = snapshots.composition()
    energy = snapshots.energy[snapshots.rows]
    if kind == "mean":
        return np.full(101, float(np.mean(energy / composition.sum(axis=1))))
    seen = composition.any(axis=0)
    references = np.zeros(101)
    references[seen] = np.linalg.lstsq(composition[:, seen], energy, rcond=None)[0]
    return references
