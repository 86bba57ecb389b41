"""Splits by molecule, never by snapshot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from force2geo.errors import UserError
from force2geo.files import hash_value
from force2geo.select.maxmin import maxmin

if TYPE_CHECKING:
    import pandas as pd

Split = dict[str, list[str]]
COLUMNS = ("cid", "smiles", "inchikey", "scaffold", "dft_1st_steps", "dft_converged", "gap")
_ROUNDS = 10_000


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


def pretraining_split(
    index: pd.DataFrame,
    downstream: list[Split],
    held: Split,
    keys: frozenset[str] = frozenset(),
) -> Split:
    """Return a split for the potential that keeps molecules of test sets out of its training set.

    Validation and test are those of `held`; training is every molecule of the index that is in
    no downstream validation or test set, nor shares its skeleton (first block of the InChIKey)
    with one or with one of `keys`, the skeletons of other test sets: the paper's guard against
    leakage (appendix E), turned round.
    """
    outside = {cid for split in downstream for part in ("val", "test") for cid in split[part]}
    skeleton = index["inchikey"].str.slice(0, 14)
    banned = (set(skeleton[index["cid"].isin(outside)]) | keys) - {""}
    keep = ~index["cid"].isin(outside) & ~skeleton.isin(banned)
    return {"train": sorted(index["cid"][keep]), "val": held["val"], "test": held["test"]}


def choose_subset(
    steps: np.ndarray, molecules: int | None, snapshots: int | None, rng: np.random.Generator
) -> np.ndarray:
    """Return the positions (m,), ascending, of a random subset of so many molecules.

    `steps` (M,) are the snapshots of each. With `snapshots` given, molecules are exchanged at
    random, always towards it, until the subset has that many: PubChemQCR-S has 40,979
    trajectories and 1,504,431 snapshots (appendix A.3), more per molecule than the whole set.
    """
    count = min(molecules or len(steps), len(steps))
    inside = rng.choice(len(steps), count, replace=False)
    outside = np.setdiff1d(np.arange(len(steps)), inside)
    if snapshots is None or not len(outside):
        return np.sort(inside)
    missing = snapshots - int(steps[inside].sum())
    for _ in range(_ROUNDS):
        if missing == 0:
            break
        # Exchanges of two random molecules; those taken in order that do not overshoot.
        pairs = min(len(inside), len(outside))
        one, other = rng.permutation(len(inside))[:pairs], rng.permutation(len(outside))[:pairs]
        gain = steps[outside[other]] - steps[inside[one]]
        useful = np.flatnonzero((np.sign(gain) == np.sign(missing)) & (abs(gain) <= abs(missing)))
        useful = useful[np.abs(np.cumsum(gain[useful])) <= abs(missing)]
        one, other = one[useful], other[useful]
        inside[one], outside[other] = outside[other], inside[one]
        missing = snapshots - int(steps[inside].sum())
    return np.sort(inside)


def select(
    index: pd.DataFrame, settings: dict[str, Any], test_keys: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """Return the subset S, its splits, D_opt and counts for an index (see `store.index`).

    Eligible are molecules whose first DFT stage converged and whose gap is known. `test_keys`
    are skeletons of other test sets, which pretraining must not see.
    """
    rng = np.random.default_rng(settings["seed"])
    eligible = index[
        (index["dft_1st_steps"] > 0) & (index["dft_converged"] == 1) & index["gap"].notna()
    ].sort_values("cid")
    steps = eligible["dft_1st_steps"].to_numpy(dtype=np.int64)
    size, snapshots = settings["subset_size"], settings["subset_snapshots"]
    molecules = eligible.iloc[choose_subset(steps, size, snapshots, rng)]
    subset = list(molecules["cid"])
    if len(subset) < 3:
        raise UserError(
            f"only {len(subset)} molecules have a converged DFT stage with a gap: too few to "
            "split; look at the rejects table"
        )
    random = random_split(subset, settings["fractions"], rng)
    scaffold = scaffold_split(molecules, settings["fractions"])
    smiles = molecules.set_index("cid")["smiles"]
    test = random["test"]
    picked = maxmin([str(smiles[cid]) for cid in test], settings["d_opt_size"], rng)
    pretrain = pretraining_split(index, [random, scaffold], random, test_keys)
    held = len(set(random["val"]) | set(random["test"]))
    result: dict[str, Any] = {
        "seed": settings["seed"],
        "subset": subset,
        "random": random,
        "scaffold": scaffold,
        "pretrain": pretrain,
        "d_opt": [test[i] for i in picked],
        "counts": {
            "molecules": len(index),
            "eligible": len(eligible),
            "subset": len(subset),
            "subset_snapshots": int(molecules["dft_1st_steps"].sum()),
            "subset_snapshots_wanted": snapshots,
            "pretrain": len(pretrain["train"]),
            "kept_from_pretraining": len(index) - len(pretrain["train"]) - held,
            "test_set_skeletons": len(test_keys),
        },
    }
    return {"hash": hash_value(result), **result}
