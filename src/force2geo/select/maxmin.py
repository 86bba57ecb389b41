"""Diverse molecules by MaxMin picking on Morgan fingerprints (Force2Geo, section 4.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from force2geo.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np


def maxmin(molecules: Sequence[Any | None], count: int, rng: np.random.Generator) -> list[int]:
    """Return indices of `count` RDKit molecules, each the farthest from those before it.

    The first is drawn by `rng`; distance is 1 − Tanimoto of Morgan fingerprints of radius 2 and
    2048 bits. None, a molecule that could not be read, is never picked. `UserError` when there
    are too few molecules.
    """
    from rdkit.Chem.rdFingerprintGenerator import GetMorganGenerator
    from rdkit.SimDivFilters.rdSimDivPickers import MaxMinPicker

    places = [place for place, molecule in enumerate(molecules) if molecule is not None]
    if count > len(places):
        raise UserError(
            f"select.d_opt_size: {count} asked for, the test set has {len(places)} readable ones"
        )
    generator = GetMorganGenerator(radius=2, fpSize=2048)
    fingerprints = [generator.GetFingerprint(molecules[place]) for place in places]
    first = int(rng.integers(len(places)))
    picked = MaxMinPicker().LazyBitVectorPick(fingerprints, len(places), count, [first])
    return [places[i] for i in picked]
