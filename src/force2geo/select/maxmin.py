"""Diverse molecules by MaxMin picking on Morgan fingerprints (Force2Geo, section 4.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from force2geo.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np


def maxmin(smiles: Sequence[str], count: int, rng: np.random.Generator) -> list[int]:
    """Return indices of `count` molecules, each the farthest from those before it.

    The first is drawn by `rng`; distance is 1 − Tanimoto of Morgan fingerprints of radius 2 and
    2048 bits. `UserError` when there are too few molecules or a SMILES cannot be read.
    """
    from rdkit import Chem
    from rdkit.Chem.rdFingerprintGenerator import GetMorganGenerator
    from rdkit.SimDivFilters.rdSimDivPickers import MaxMinPicker

    if count > len(smiles):
        raise UserError(f"select.d_opt_size: {count} asked for, the test set has {len(smiles)}")
    generator = GetMorganGenerator(radius=2, fpSize=2048)
    fingerprints = []
    for text in smiles:
        molecule = Chem.MolFromSmiles(text)
        if molecule is None:
            raise UserError(f"SMILES '{text}' cannot be read: mend it in the identifiers' table")
        fingerprints.append(generator.GetFingerprint(molecule))
    first = int(rng.integers(len(smiles)))
    picker = MaxMinPicker()
    return list(picker.LazyBitVectorPick(fingerprints, len(fingerprints), count, [first]))
