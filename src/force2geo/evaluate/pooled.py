"""Means over molecules and seeds, how sure they are, and differences of rows, paired."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DRAWS = 2000
_FEWEST = 10
_AT_ONCE = 2_000_000  # numbers of a chunk of samples


class Pooled(NamedTuple):
    """A mean of `seeds` × `molecules` values and the interval it lies in."""

    mean: float
    low: float
    high: float
    seeds: int
    molecules: int


def pooled(values: np.ndarray, draws: int = DRAWS, seed: int = 7, percent: float = 95) -> Pooled:
    """Return the mean of `values` (S,M) of S seeds and M molecules, and its percentile interval.

    Each sample of the bootstrap draws molecules and, of several seeds, seeds, both with
    replacement: another test set and other trainings. S of S seeds vary by (S−1)/S too little, and
    of so few σ_s itself is unsure, so that drawn seeds' weights are spread by √(S/(S−1)) t/z,
    Student's over the normal quantile. Half the interval is then √(z² σ_m²/M + t² σ_s²/S), which
    holds the truth as often as it says. Of one seed it says nothing of how another would have done.
    """
    from scipy import stats

    values = np.asarray(values, dtype=float)
    seeds, molecules = values.shape
    rng = np.random.default_rng(seed)
    weights = np.full((draws, seeds), 1 / seeds)
    if seeds > 1:
        drawn = rng.multinomial(seeds, weights[0], size=draws) / seeds
        quantile = 0.5 + percent / 200
        unsure = stats.t.ppf(quantile, seeds - 1) / stats.norm.ppf(quantile)
        weights += np.sqrt(seeds / (seeds - 1)) * unsure * (drawn - weights)
    means = np.empty((draws, seeds))
    step = max(1, _AT_ONCE // molecules)
    for first in range(0, draws, step):
        rows = slice(first, min(first + step, draws))
        chosen = rng.integers(molecules, size=(rows.stop - first, molecules))
        for at, own in enumerate(values):
            means[rows, at] = own[chosen].mean(axis=1)
    outside = (100 - percent) / 2
    low, high = np.percentile((weights * means).sum(axis=1), [outside, 100 - outside])
    return Pooled(float(values.mean()), float(low), float(high), seeds, molecules)


def contrast(
    rows: Sequence[tuple[float, Mapping[int, np.ndarray]]], draws: int = DRAWS
) -> Pooled | None:
    """Return the sum of weights times rows, each (M,) of the same molecules by seed.

    (1, one) and (−1, another) are their difference, molecule by molecule. Rows are paired by the
    seeds that all have, for a training and one that starts from it share what is chance; None where
    there is no such seed.
    """
    common = sorted(set.intersection(*(set(values) for _, values in rows)))
    if not common:
        return None
    sums = [sum(weight * values[seed] for weight, values in rows) for seed in common]
    return pooled(np.array(sums), draws)


def verdict(found: Pooled) -> str:
    """Say whether a difference that was predicted to be positive is, beyond chance.

    Of fewer than ten molecules a bootstrap knows nothing: nothing is shown by them.
    """
    if found.molecules < _FEWEST:
        return "not shown"
    if found.low > 0:
        return "shown"
    return "opposite" if found.high < 0 else "not shown"
