"""Which atom of one source's molecule is which of another's: by the order, or else by the bonds."""

from __future__ import annotations

import numpy as np

from force2geo.superposition import farthest
from force2geo.training_data.embed import connected
from force2geo.training_data.matching import Bonded, order

# Å, by which an atom may lie elsewhere in two files of one structure: thresholds of relaxation,
# digits printed. Exchanged atoms lie much farther away.
_SAME = 0.1


def aligned(
    numbers: np.ndarray, positions: np.ndarray, wanted: np.ndarray, reference: np.ndarray
) -> np.ndarray | str:
    """Return for each atom of a reference (n,) the atom of another file's structure that it is.

    `numbers` (m,) and `positions` (m,3) Å are the other file's, `wanted` (n,) atomic numbers and
    `reference` (n,3) Å the reference. Both are one structure, turned, shifted and in any order of
    atoms; where they are not, the reason is returned: no atom is paired on trust.
    """
    if sorted(numbers) != sorted(wanted):
        return "another formula"
    if np.array_equal(numbers, wanted) and _apart(positions, reference) < _SAME:
        return np.arange(len(wanted))
    apart = []
    for ours, theirs in zip(
        connected(numbers, positions), connected(wanted, reference), strict=True
    ):
        found = order(Bonded.of_rdkit(ours), positions, Bonded.of_rdkit(theirs), reference)
        if found is not None:
            apart.append(_apart(positions[found], reference))
            if apart[-1] < _SAME:
                return found
    return f"another structure, an atom over {_SAME} Å away" if apart else "bonds of another kind"


def _apart(positions: np.ndarray, reference: np.ndarray) -> float:
    """Return how far, in Å, an atom lies from its place after superposition."""
    return float(farthest(positions[None], reference)[0])
