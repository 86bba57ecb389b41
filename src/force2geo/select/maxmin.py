"""D_opt: diverse molecules by MaxMin picking on Morgan fingerprints (Force2Geo, section 4.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from force2geo.curation.identity import read_molecule
from force2geo.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd


def pick_d_opt(index: pd.DataFrame, selection: dict[str, Any], count: int) -> list[str]:
    """Return the CIDs of D_opt, molecules of the random split's test set; see `maxmin`.

    `index` is the store's, `selection` that of `select`, which drew the first. A larger D_opt
    begins with a smaller one.
    """
    test = selection["random"]["test"]
    known = index[index["cid"].isin(test)].set_index("cid")
    pool = [read_molecule(known["smiles"][cid], known["inchi"][cid]) for cid in test]
    readable = sum(molecule is not None for molecule in pool)
    if count > readable:
        raise UserError(
            f"select.d_opt_size: {count} asked for, the test set has {readable} readable ones"
        )
    return [test[i] for i in maxmin(pool, count, test.index(selection["d_opt_first"]))]


def maxmin(molecules: Sequence[Any | None], count: int, first: int) -> list[int]:
    """Return indices of `count` RDKit molecules, each the farthest from those before it.

    The one at index `first` is the first; distance is 1 − Tanimoto of Morgan fingerprints of radius
    2 and 2048 bits. None, a molecule that could not be read, is never picked.
    """
    from rdkit.Chem.rdFingerprintGenerator import GetMorganGenerator
    from rdkit.SimDivFilters.rdSimDivPickers import MaxMinPicker

    places = [place for place, molecule in enumerate(molecules) if molecule is not None]
    generator = GetMorganGenerator(radius=2, fpSize=2048)
    fingerprints = [generator.GetFingerprint(molecules[place]) for place in places]
    begun = [places.index(first)]
    picked = MaxMinPicker().LazyBitVectorPick(fingerprints, len(places), count, begun)
    return [places[i] for i in picked]
