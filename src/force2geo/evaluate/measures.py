"""Table 3's numbers: each a mean, a share or a median of molecules, with intervals and pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from force2geo.evaluate.geometry import FORCE_THRESHOLD
from force2geo.evaluate.summaries import between, resampled

if TYPE_CHECKING:
    import pandas as pd

CHEMICAL_ACCURACY = 1.0
"""kcal/mol."""


class Measure(NamedTuple):
    """Σ `part` (M,) over Σ `whole` (M,) of molecules, or without a `whole` the median of `part`.

    What is no number in either is left out.
    """

    part: np.ndarray
    whole: np.ndarray | None

    @property
    def known(self) -> np.ndarray:
        """Which molecules (M,) it rests on."""
        known = np.isfinite(self.part)
        return known if self.whole is None else known & np.isfinite(self.whole)

    def of(self, samples: np.ndarray, chosen: np.ndarray | None = None) -> np.ndarray:
        """Return the measure (…) of samples (…,M) of molecules, of those `chosen` (M,) alone.

        NaN of a sample that has none of them.
        """
        known = self.known if chosen is None else self.known & chosen
        part = np.where(known, self.part, np.nan)[samples]
        if self.whole is None:
            ordered, count = np.sort(part, axis=-1), known[samples].sum(axis=-1)
            middle = [np.maximum(count - 1, 0) // 2, count // 2 * (count > 0)]
            ends = [np.take_along_axis(ordered, one[..., None], axis=-1)[..., 0] for one in middle]
            return np.asarray((ends[0] + ends[1]) / 2)
        total = np.where(known, self.whole, 0.0)[samples].sum(axis=-1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(np.nansum(part, axis=-1) / np.where(total != 0, total, np.nan))

    def value(self) -> float:
        """Return the measure of all molecules, NaN where none is known."""
        return float(self.of(np.arange(len(self.part))))

    def interval(self) -> tuple[float, float]:
        """Return between what 95 % of a bootstrap over molecules lie."""
        return between(self.of(resampled(len(self.part))))


class Difference(NamedTuple):
    """A measure less another of the same `molecules`, and the interval it lies in, paired."""

    value: float
    low: float
    high: float
    molecules: int


def paired(one: Measure, other: Measure) -> Difference | None:
    """Return `one` less `other` on the molecules that both know, None where there is none.

    Each sample of the bootstrap has the same molecules of both.
    """
    both = one.known & other.known
    if not both.any():
        return None

    def difference(samples: np.ndarray) -> np.ndarray:
        return one.of(samples, both) - other.of(samples, both)

    low, high = between(difference(resampled(len(both))))
    return Difference(float(difference(np.arange(len(both)))), low, high, int(both.sum()))


def _rates(molecules: pd.DataFrame) -> dict[str, pd.Series]:
    """Return what the rates are means of, in percent, by name, a value (or NaN) per molecule.

    A molecule that failed counts against each of them.
    """
    good = ~molecules["failed"]
    return {
        "pct_energy": molecules["percent"],
        "pct_success": 100.0 * (good & (molecules["residual"] < CHEMICAL_ACCURACY)),
        # Without an energy of the start nothing is known, unless the relaxation failed.
        "pct_diverged": (100.0 * molecules["diverged"]).where(molecules["gained"].notna()),
        "pct_force": 100.0 * (good & (molecules["max_force"] < FORCE_THRESHOLD)),
        "pct_force_dft": 100.0 * (good & (molecules["max_force_dft"] < FORCE_THRESHOLD)),
    }


def measures(molecules: pd.DataFrame) -> dict[str, Measure]:
    """Return the measures of molecules of `per_molecule`, by column of table 3.

    `pct_energy` (eq. 10) is the mean of eq. 11 over the molecules that have one, which one with
    little to gain can rule; `pct_energy_median` their median; `pct_energy_total` the energy gained
    by all over that to be gained by all, which one with much to gain can rule; `pct_success`
    (eq. 12), `pct_diverged`, `pct_force` (eq. 14, judged by the potential) and `pct_force_dft` (by
    DFT). A missing single point of the reference counts as no success; a molecule without one of
    the start is left out of `pct_diverged`. `residual` (eq. 13) and `residual_median` are in
    kcal/mol, `seconds` of wall time.

    Of molecules of `with_basins` also, in kcal/mol, `basin_mean`, `basin_median` and `lower_mean`;
    `basin_within`, the share within chemical accuracy of their own minimum, a failure being none;
    `other_basin`, that of own minima which are not the reference's; and `pct_gained`, the energy
    that all gained of what they had to gain above their own minima. With a column `gradients`,
    their mean.
    """
    percent, residual = molecules["percent"], molecules["residual"]
    found = {name: _mean(values) for name, values in _rates(molecules).items()}
    found |= {
        "pct_energy_median": _median(percent),
        "pct_energy_total": _share(
            molecules["gained"], molecules["to_gain"].where(percent.notna())
        ),
        "residual": _mean(residual),
        "residual_median": _median(residual),
        "seconds": _mean(molecules["seconds"]),
    }
    if "gradients" in molecules:
        found["gradients"] = _mean(molecules["gradients"])
    if "basin" not in molecules:
        return found
    basin = molecules["basin"]
    within = (100.0 * (basin < CHEMICAL_ACCURACY)).where(basin.notna() | molecules["failed"])
    return found | {
        "basin_mean": _mean(basin),
        "basin_median": _median(basin),
        "basin_within": _mean(within),
        "lower_mean": _mean(molecules["lower"]),
        "other_basin": _mean(100.0 * molecules["other_basin"]),
        "pct_gained": _share(molecules["gained"], molecules["basin_to_gain"]),
    }


def _mean(values: pd.Series) -> Measure:
    return Measure(values.to_numpy(dtype=float), np.ones(len(values)))


def _median(values: pd.Series) -> Measure:
    return Measure(values.to_numpy(dtype=float), None)


def _share(part: pd.Series, whole: pd.Series) -> Measure:
    return Measure(100.0 * part.to_numpy(dtype=float), whole.to_numpy(dtype=float))
