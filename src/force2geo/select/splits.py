"""Splits by molecule, never by snapshot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from force2geo.curation.identity import read_molecule
from force2geo.errors import UserError
from force2geo.files import hash_value

if TYPE_CHECKING:
    import pandas as pd

Split = dict[str, list[str]]
COLUMNS = (
    "cid", "smiles", "inchi", "inchikey", "scaffold", "charge", "multiplicity", "dft_1st_steps",
    "dft_converged", "gap",
)  # fmt: skip
PARTS = ("train", "val", "test")
_ROUNDS = 10_000


def check_fractions(fractions: dict[str, float]) -> None:
    """Raise `UserError` when parts are not all of a split, or some are none of it."""
    values = list(fractions.values())
    numbers = all(isinstance(value, int | float) and value > 0 for value in values)
    if set(fractions) != set(PARTS) or not numbers or abs(sum(values) - 1) > 1e-6:
        raise UserError(
            f"select.fractions: {fractions}: train, val and test must be above 0 and add up to 1"
        )


def _cut(ordered: list[str], fractions: dict[str, float]) -> Split:
    count = len(ordered)
    val, test = (max(1, round(count * fractions[part])) for part in ("val", "test"))
    train = max(0, count - val - test)
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
    limit_train = fractions["train"] * len(molecules) + 1e-9
    limit_val = limit_train + fractions["val"] * len(molecules)
    split: Split = {part: [] for part in PARTS}
    used = 0
    for place, cids in enumerate(groups):
        empty = [part for part in ("val", "test") if not split[part]]
        if len(groups) - place <= len(empty) and split["train"]:
            part = empty[0]  # the last ones go where there is nothing yet
        elif used + len(cids) <= limit_train or not split["train"]:
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
    leakage (appendix E), turned round. A molecule without InChIKey cannot be told from those, and
    stays out.
    """
    outside = {cid for split in downstream for part in ("val", "test") for cid in split[part]}
    skeleton = index["inchikey"].str.slice(0, 14)
    banned = (set(skeleton[index["cid"].isin(outside)]) | keys) - {""}
    keep = ~index["cid"].isin(outside) & ~skeleton.isin(banned) & (skeleton != "")
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


def ineligible(index: pd.DataFrame) -> pd.Series:
    """Return why each molecule of an index cannot be in the subset, empty for those that can."""
    import pandas as pd

    reason = pd.Series("", index=index.index)
    for why, wrong in (
        ("no first DFT stage", index["dft_1st_steps"] == 0),
        ("no DFT stage converged", index["dft_converged"] != 1),
        ("no orbital energies, so no gap", index["gap"].isna()),
        ("no readable SMILES or InChI", (index["inchikey"] == "") | index["scaffold"].isna()),
    ):
        reason = reason.mask(wrong & (reason == ""), why)
    return reason


def _checked(name: str, split: Split, molecules: pd.DataFrame) -> Split:
    """Return a split; `UserError` when a part of it is empty."""
    empty = [part for part in PARTS if not split[part]]
    if empty:
        raise UserError(
            f"the {name} split of {len(molecules)} molecules with "
            f"{molecules['scaffold'].nunique()} scaffolds leaves {' and '.join(empty)} empty: "
            f"add molecules, or take {name} out of property.splits"
        )
    return split


def select(
    index: pd.DataFrame, settings: dict[str, Any], test_keys: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """Return the subset S, its splits and counts for an index (see `store.index`).

    Eligible are molecules that have a first DFT stage, whose DFT relaxation converged, whose gap
    is known and whose SMILES or InChI can be read; `ineligible` counts the others by reason.
    `test_keys` are skeletons of other test sets, which pretraining must not see. Of the splits
    that the settings name in `splits` (both, if they do not) each must fill its three parts, or
    `UserError` says why not; another one that cannot is left out. `d_opt_first` is the molecule
    that D_opt begins with, none where no test molecule can be read: how many follow is no matter of
    the selection, on which all trainings of property models depend.
    """
    rng = np.random.default_rng(settings["seed"])
    fractions = settings["fractions"]
    check_fractions(fractions)
    reasons = ineligible(index)
    counted = {str(why): int(n) for why, n in reasons[reasons != ""].value_counts().items()}
    eligible = index[reasons == ""].sort_values("cid")
    steps = eligible["dft_1st_steps"].to_numpy(dtype=np.int64)
    size, snapshots = settings["subset_size"], settings["subset_snapshots"]
    molecules = eligible.iloc[choose_subset(steps, size, snapshots, rng)]
    subset = list(molecules["cid"])
    if len(subset) < 3:
        why = "; ".join(f"{count} have {reason}" for reason, count in counted.items())
        raise UserError(
            f"{len(subset)} of {len(index)} molecules are eligible, too few to split ({why}); "
            "look at raw.identifiers and at the rejects table"
        )
    needed = settings.get("splits", ("random", "scaffold"))
    random = _checked("random", random_split(subset, fractions, rng), molecules)
    scaffold = scaffold_split(molecules, fractions)
    splits = {"random": random}
    if "scaffold" in needed or all(scaffold.values()):
        splits["scaffold"] = _checked("scaffold", scaffold, molecules)
    known = molecules.set_index("cid")
    test = random["test"]
    readable = [c for c in test if read_molecule(known["smiles"][c], known["inchi"][c]) is not None]
    pretrain = pretraining_split(index, list(splits.values()), random, test_keys)
    held = len(set(random["val"]) | set(random["test"]))
    other = (molecules["charge"] != 0) | (molecules["multiplicity"] != 1)
    result: dict[str, Any] = {
        "seed": settings["seed"],
        "subset": subset,
        **splits,
        "pretrain": pretrain,
        "d_opt_first": readable[int(rng.integers(len(readable)))] if readable else None,
        "counts": {
            "molecules": len(index),
            "eligible": len(eligible),
            "ineligible": counted,
            "subset": len(subset),
            "subset_charged_or_open_shell": int(other.sum()),
            "subset_snapshots": int(molecules["dft_1st_steps"].sum()),
            "subset_snapshots_wanted": snapshots,
            "pretrain": len(pretrain["train"]),
            "kept_from_pretraining": len(index) - len(pretrain["train"]) - held,
            "test_set_skeletons": len(test_keys),
        },
    }
    return {"hash": hash_value(result), **result}
