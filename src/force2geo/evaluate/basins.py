"""Relaxations beside the minimum that DFT finds from their very ends, their own basin's.

Equation 13 measures from the reference, wherever a relaxation went; one that slides into another
conformer is then wrong by what that lies above, or right by luck. What finishing finds tells both
apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from force2geo.superposition import rmsd

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

SAME_ENERGY = 0.2
"""kcal/mol: minima that lie farther apart are not one; thresholds of forces leave less open."""
SAME_PLACE = 0.3
"""Å of the heavy atoms' RMSD: minima farther apart are not one, either."""


def heavy_rmsd(numbers: np.ndarray, one: np.ndarray, other: np.ndarray) -> float:
    """Return the RMSD (Å) of the heavy atoms of two geometries (n,3), superposed.

    Or of a mirror image, if less, which is the same conformer to an energy. Nought of fewer than
    two heavy atoms.
    """
    heavy = np.asarray(numbers) > 1
    if heavy.sum() < 2:
        return 0.0
    return min(rmsd(image[heavy], other[heavy]) for image in (one, one * [-1.0, 1.0, 1.0]))


def with_basins(
    molecules: pd.DataFrame, finished: pd.DataFrame, ends: Sequence[str]
) -> pd.DataFrame:
    """Return rows of `per_molecule` (M,) with what DFT found from the ends of their relaxations.

    `finished` are the same molecules' rows (M,) after finishing, `ends` (M,) how that ended. Added,
    in kcal/mol: `basin` = E(relaxed) − E(own minimum), `lower` = E(relaxed) − E(the lower of own
    minimum and reference), `basin_to_gain` = E(start) − E(own minimum); and `other_basin`, 1 where
    own minimum and reference are more than `SAME_ENERGY` or `SAME_PLACE` apart, else 0. All are NaN
    where finishing found no minimum; a relaxation that `failed` had to gain what the reference
    says.
    """
    from force2geo.dft.finish import MINIMUM

    found = (np.asarray(ends) == MINIMUM) & ~finished["failed"].to_numpy()
    failed = molecules["failed"].to_numpy()
    above = finished["residual"].where(found).to_numpy()  # own minimum above the reference
    basin = molecules["residual"].to_numpy() - above
    place = finished["rmsd_heavy"].to_numpy()
    other = np.where(np.isnan(above), np.nan, (np.abs(above) > SAME_ENERGY) | (place > SAME_PLACE))
    to_gain = np.where(failed, molecules["to_gain"], molecules["gained"] + basin)
    return molecules.assign(
        basin=basin,
        lower=molecules["residual"].to_numpy() - np.minimum(above, 0.0),
        basin_to_gain=to_gain,
        other_basin=other,
    )
