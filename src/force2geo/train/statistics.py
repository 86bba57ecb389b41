"""What networks want to know of a training set: elements, neighbours, the size of forces."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from force2geo.potentials.backbone import Statistics
from force2geo.potentials.batch import by_size
from force2geo.potentials.pairs import find_pairs

if TYPE_CHECKING:
    from force2geo.train.snapshots import Snapshots

_SNAPSHOTS, _BATCH_ATOMS = 10_000, 4096


def statistics_of(snapshots: Snapshots, cutoff: float) -> Statistics:
    """Return the statistics of snapshots for a cutoff in Å.

    Neighbours and forces are those of at most 10,000 snapshots, evenly spaced: enough for a scale
    to be initialised with.
    """
    count = min(len(snapshots), _SNAPSHOTS)
    chosen = np.linspace(0, len(snapshots) - 1, count).round().astype(int)
    sizes = snapshots.sizes()[chosen]
    atoms = edges = 0
    squares = 0.0
    for places in by_size(sizes, _BATCH_ATOMS):
        batch = snapshots.batch(chosen[places])
        assert batch.forces is not None
        atoms += len(batch.atomic_numbers)
        edges += 2 * len(find_pairs(batch, cutoff))
        squares += float(torch.linalg.vector_norm(batch.forces.double()) ** 2)
    rms = (squares / (3 * atoms)) ** 0.5
    # Nothing divides by what may be zero: lone atoms have no neighbours, minima no forces.
    return Statistics(tuple(snapshots.elements()), edges / atoms or 1.0, rms or 1.0)
