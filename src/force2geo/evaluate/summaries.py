"""Many numbers as few: mean and spread of runs, ranks of rows, intervals of a mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float]:
    """Return mean and standard deviation (n − 1) of runs; of one run there is none, NaN."""
    # Of equal values, so that counts stay counts: a sum over n may be off in its last digit.
    mean = values[0] if len(set(values)) == 1 else float(np.mean(values))
    return mean, float(np.std(values, ddof=1)) if len(values) > 1 else np.nan


def ranks(values: Any) -> np.ndarray:
    """Return the ranks (n, …) of `values` (n, …) along their first axis, 1 for the smallest.

    Equal ones share the mean of their places; what is no number has no rank, NaN.
    """
    values = np.asarray(values, dtype=float)
    below = (values[None] < values[:, None]).sum(axis=1)
    equal = (values[None] == values[:, None]).sum(axis=1)
    return np.where(np.isnan(values), np.nan, below + (equal + 1) / 2)


def resampled(count: int, draws: int = 2000, seed: int = 7) -> np.ndarray:
    """Return which of `count` things each of a bootstrap's samples has, (draws, count).

    The same samples for several columns make what is compared paired.
    """
    return np.random.default_rng(seed).integers(count, size=(draws, count))


def between(values: np.ndarray, percent: float = 95) -> tuple[float, float]:
    """Return between what `percent` of values (n,) lie, NaN where none is a number."""
    known = values[np.isfinite(values)]
    outside = (100 - percent) / 2
    low, high = np.percentile(known, [outside, 100 - outside]) if len(known) else (np.nan, np.nan)
    return float(low), float(high)
