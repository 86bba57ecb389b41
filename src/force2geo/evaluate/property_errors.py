"""Errors of property models on the molecules that all of them could take."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from force2geo.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def predictions_of(metrics: Path, part: str) -> dict[str, tuple[float, float]] | None:
    """Return (true, predicted) property by CID of a run's `part`, val or test.

    None where the run has no predictions with CIDs: an older one.
    """
    path = metrics.with_name("predictions.npz")
    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as file:
        if f"{part}/cid" not in file:
            return None
        cids = file[f"{part}/cid"].astype(str).tolist()
        true, predicted = (
            file[f"{part}/{name}"].tolist() for name in ("property_true", "property")
        )
        pairs = zip(true, predicted, strict=True)
        return dict(zip(cids, pairs, strict=True))


def common_errors(
    runs: Mapping[str, Mapping[int, Path]], part: str
) -> dict[str, dict[int, np.ndarray]] | None:
    """Return the absolute errors (M,) of each row's seeds on the molecules that all runs have.

    `runs` are metrics files by row and seed. A conformer that RDKit cannot embed or a relaxation
    that exploded is missing from some runs and not from others. None where a run has no CIDs.
    """
    paths = [path for seeds in runs.values() for path in seeds.values()]
    found = {path: predictions_of(path, part) for path in dict.fromkeys(paths)}
    known = {path: values for path, values in found.items() if values is not None}
    if not known or len(known) < len(found):
        return None
    shared = sorted(set.intersection(*(set(values) for values in known.values())))
    if not shared:
        raise UserError(f"no {part} molecule is in the predictions of all of {', '.join(runs)}")
    errors = {}
    expected: np.ndarray | None = None
    for path, values in known.items():
        true, predicted = np.array([values[cid] for cid in shared], dtype=float).T
        if expected is not None and not np.allclose(true, expected, atol=1e-4):
            raise UserError(
                f"{path.with_name('predictions.npz')}: the {part} molecules have other true "
                "values than another run's: they belong to other data"
            )
        expected = true
        errors[path] = np.abs(predicted - true)
    return {
        row: {seed: errors[path] for seed, path in seeds.items()} for row, seeds in runs.items()
    }
