"""Means, shares and medians with their bootstraps, against loops and the normal distribution."""

import numpy as np
import pandas as pd
import pytest

from force2geo.evaluate.measures import Measure, measures, paired
from force2geo.evaluate.summaries import resampled


def mean_of(values):
    return Measure(np.array(values, dtype=float), np.ones(len(values)))


def test_an_interval_is_the_normal_one_for_many():
    values = np.random.default_rng(0).normal(5.0, 2.0, 1000)
    error = values.std() / np.sqrt(1000)
    low, high = mean_of(values).interval()
    assert (high - low) / (2 * error) == pytest.approx(1.960, rel=0.06)
    assert (low + high) / 2 == pytest.approx(values.mean(), abs=0.1 * error)
    low, high = Measure(values, None).interval()
    assert (high - low) / (2 * error) == pytest.approx(1.960 * np.sqrt(np.pi / 2), rel=0.12)


def test_a_measure_is_numpy_s_sample_by_sample():
    rng = np.random.default_rng(1)
    part, whole = rng.normal(5, 1, 7), rng.uniform(1, 3, 7)
    part[2], whole[4] = np.nan, np.nan
    samples = resampled(7)[:200]
    share, median = Measure(part, whole), Measure(part, None)
    both = np.isfinite(part) & np.isfinite(whole)
    for number, sample in enumerate(samples):
        own = sample[both[sample]]
        expected = part[own].sum() / whole[own].sum() if len(own) else np.nan
        assert share.of(samples)[number] == pytest.approx(expected, nan_ok=True)
        one = part[sample][np.isfinite(part[sample])]
        assert median.of(samples)[number] == pytest.approx(np.median(one))
    assert share.value() == pytest.approx(part[both].sum() / whole[both].sum())
    assert median.value() == pytest.approx(np.nanmedian(part))
    assert share.known.tolist() == both.tolist()


def test_what_is_no_number_is_left_out():
    assert mean_of([np.nan, 3.0, np.nan]).interval() == (3.0, 3.0)
    for whole in (np.ones(3), None):
        nothing = Measure(np.full(3, np.nan), whole)
        assert np.isnan([nothing.value(), *nothing.interval()]).all()


def test_pairs_share_what_is_common_to_both():
    shared = np.random.default_rng(2).normal(0, 10, 200)
    one, other = mean_of(shared + 1.0), mean_of(shared)
    found = paired(one, other)
    assert (found.value, found.low, found.high) == pytest.approx((1, 1, 1))
    assert found.molecules == 200
    # Apart they would be anywhere.
    assert one.interval()[1] - one.interval()[0] > 2
    # Only molecules that both know: the first of one and the last of the other are not.
    found = paired(mean_of([np.nan, 2.0, 5.0, 9.0]), mean_of([7.0, 1.0, 1.0, np.nan]))
    assert found.value == pytest.approx(2.5) and found.molecules == 2
    assert (found.low, found.high) == pytest.approx((1.0, 4.0))
    assert paired(mean_of([np.nan, 1.0]), mean_of([1.0, np.nan])) is None


def test_each_measure_is_of_its_own_column():
    molecules = pd.DataFrame({
        "failed": [False, False, True], "percent": [50.0, 90.0, 0.0],
        "residual": [0.5, 4.0, np.nan],
        "max_force": [0.01, 0.2, np.nan], "max_force_dft": [0.1, 0.2, np.nan],
        "gained": [1.0, 9.0, 0.0], "to_gain": [2.0, 10.0, 8.0], "diverged": [False, False, True],
        "seconds": [1.0, 2.0, 6.0], "gradients": [1.0, 2.0, np.nan], "basin": [0.25, 1.5, np.nan],
        "basin_to_gain": [1.25, 10.5, 8.0], "lower": [0.75, 2.5, np.nan],
        "other_basin": [1.0, 0.0, np.nan],
    })  # fmt: skip
    found = {name: one.value() for name, one in measures(molecules).items()}
    third = 100 / 3
    assert found == pytest.approx({
        "pct_energy": 140 / 3, "pct_energy_median": 50.0, "pct_energy_total": 50.0,
        "pct_success": third, "pct_diverged": third, "pct_force": third, "pct_force_dft": 0.0,
        "residual": 2.25, "residual_median": 2.25, "seconds": 3.0, "gradients": 1.5,
        "basin_mean": 0.875, "basin_median": 0.875, "basin_within": third, "lower_mean": 1.625,
        "other_basin": 50.0, "pct_gained": 1000 / 19.75,
    })  # fmt: skip
    bare = measures(molecules.drop(columns=["basin", "gradients"]))
    assert "gradients" not in bare and "basin_mean" not in bare
