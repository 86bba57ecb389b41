"""How sure a committee of potentials is of geometries: its members' disagreement on forces."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from force2geo.errors import UserError
from force2geo.potentials.batch import by_size
from force2geo.potentials.committee import load_together

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from force2geo.potentials.batch import Batch
    from force2geo.potentials.model import Model


def read_committee(paths: Sequence[Path]) -> Model:
    """Return the potentials of checkpoints together; `UserError` where they cannot disagree."""
    if len(paths) < 2:
        raise UserError(
            f"--model: {len(paths)} given; give two potentials or more, one cannot disagree"
        )
    return load_together(paths)


def spreads(
    committee: Model,
    sizes: np.ndarray,
    batch_of: Callable[[np.ndarray], Batch],
    batch_atoms: int = 4096,
) -> np.ndarray:
    """Return a committee's `force_spread` (S,) eV/Å for geometries with `sizes` (S,) atoms.

    `batch_of` gives the batch of those at some places. The networks alone are asked: a baseline is
    the same for all members.
    """
    found = np.zeros(len(sizes))
    for chosen in by_size(sizes, batch_atoms):
        batch = batch_of(chosen)
        network = committee.in_dtype(batch.positions.dtype)
        output = network(batch.to(committee.device))
        found[chosen] = output["force_spread"].detach().cpu().numpy()
    return found
