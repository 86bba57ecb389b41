"""Splits by molecule, never by snapshot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from force2geo.files import hash_value
from force2geo.select.maxmin import maxmin

if TYPE_CHECKING:
    import pandas as pd

Split = dict[str, list[str]]


def _cut(ordered: list[str], fractions: dict[str, float]) -> Split:
    count = len(ordered)
    val, test = (max(1, round(count * fractions[part])) for part in ("val", "test"))
    train = count - val - test
    return {
        "train": ordered[:train],
        "val": ordered[train : train + val],
        "test": ordered[train + val :],
    }


def random_split(cids: list[str], fractions: dict[str, float], rng: np.random.Generator) -> Split:
    """Return a random split."""
    return _cut([cids[i] for i in rng.permutation(len(cids))], fractions)


def scaffold_split(molecules: pd.DataFrame, fractions: dict[str, float]) -> Split:
    """Return a split by Bemis–Murcko scaffold: common scaffolds train, rare ones test.

    No scaffold is in two parts; molecules without rings share one scaffold.
    """
    groups = [sorted(group["cid"]) for _, group in molecules.groupby("scaffold")]
    groups.sort(key=lambda cids: (-len(cids), cids[0]))
    limit_train = fractions["train"] * len(molecules)
    limit_val = (fractions["train"] + fractions["val"]) * len(molecules)
    split: Split = {"train": [], "val": [], "test": []}
    used = 0
    for cids in groups:
        if used + len(cids) <= limit_train or not split["train"]:
            part = "train"
        elif used + len(cids) <= limit_val or not split["val"]:
            part = "val"
        else:
            part = "test"
        split[part] += cids
        used += len(cids)
    return split


def pretraining_split(index: pd.DataFrame, downstream: list[Split], held: Split) -> Split:
    """Return a split for the potential that keeps downstream molecules out of its training set.

    Validation and test are those of `held`; training is every molecule of the index that is in
    no downstream validation or test set, nor shares its skeleton (first block of the InChIKey)
    with one: the paper's guard against leakage (appendix E), turned round.
    """
    outside = {cid for split in downstream for part in ("val", "test") for cid in split[part]}
    skeleton = index["inchikey"].str.slice(0, 14)
    banned = set(skeleton[index["cid"].isin(outside)]) - {""}
    keep = ~index["cid"].isin(outside) & ~skeleton.isin(banned)
    return {"train": sorted(index["cid"][keep]), "val": held["val"], "test": held["test"]}


def select(index: pd.DataFrame, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the subset S, its splits and D_opt for an index (see `store.index`).

    Eligible are molecules whose first DFT stage converged and whose gap is known.
    """
    rng = np.random.default_rng(settings["seed"])
    eligible = index[
        (index["dft_1st_steps"] > 0) & (index["dft_converged"] == 1) & index["gap"].notna()
    ].sort_values("cid")
    cids = list(eligible["cid"])
    size = settings["subset_size"] or len(cids)
    subset = sorted(rng.choice(cids, min(size, len(cids)), replace=False).tolist())
    molecules = eligible[eligible["cid"].isin(subset)]
    random = random_split(subset, settings["fractions"], rng)
    scaffold = scaffold_split(molecules, settings["fractions"])
    smiles = molecules.set_index("cid")["smiles"]
    test = random["test"]
    picked = maxmin([str(smiles[cid]) for cid in test], settings["d_opt_size"], rng)
    result: dict[str, Any] = {
        "seed": settings["seed"],
        "subset": subset,
        "random": random,
        "scaffold": scaffold,
        "pretrain": pretraining_split(index, [random, scaffold], random),
        "d_opt": [test[i] for i in picked],
    }
    return {"hash": hash_value(result), **result}
