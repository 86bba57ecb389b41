"""Means, spreads, ranks and intervals against numbers worked out by hand or in closed form."""

import numpy as np
import pytest

from force2geo.evaluate.summaries import mean_and_deviation, mean_interval, ranks, resampled


def test_the_deviation_is_the_sample_s():
    mean, deviation = mean_and_deviation([1.0, 2.0, 4.5])
    # 2.25 + 0.25 + 4 over two degrees of freedom.
    assert mean == 2.5 and deviation == pytest.approx(np.sqrt(6.5 / 2))


def test_one_run_has_no_deviation_and_equal_counts_stay_counts():
    mean, deviation = mean_and_deviation([0.1])
    assert mean == 0.1 and np.isnan(deviation)
    mean, deviation = mean_and_deviation([1234, 1234, 1234])
    assert mean == 1234 and isinstance(mean, int) and deviation == 0
    assert mean_and_deviation([0.1, 0.1, 0.1])[0] == 0.1  # the sum over three is not


def test_equal_values_share_their_ranks_and_no_number_has_none():
    found = ranks([3.0, 1.0, np.nan, 3.0, 2.0])
    np.testing.assert_array_equal(found, [3.5, 1, np.nan, 3.5, 2])
    np.testing.assert_array_equal(
        ranks([[5.0, 1.0], [4.0, 2.0], [6.0, 2.0]]), [[2, 1], [1, 2.5], [3, 2.5]]
    )


def test_an_interval_is_the_normal_one_for_many():
    values = np.random.default_rng(0).normal(5.0, 2.0, 1000)
    samples = resampled(1000)
    error = values.std() / np.sqrt(1000)
    for percent, width in ((95, 1.960), (68.27, 1.0), (50, 0.6745)):
        low, high = mean_interval(values, samples, percent)
        assert (high - low) / (2 * error) == pytest.approx(width, rel=0.06)
        assert (low + high) / 2 == pytest.approx(values.mean(), abs=0.1 * error)


def test_samples_are_drawn_with_replacement_and_are_the_same_again():
    samples = resampled(40)
    assert samples.shape == (2000, 40) and (samples == resampled(40)).all()
    assert set(samples.ravel()) == set(range(40))
    # Of n things a sample has 1 − (1 − 1/n)ⁿ.
    share = np.mean([len(set(one)) for one in samples.tolist()]) / 40
    assert share == pytest.approx(1 - (1 - 1 / 40) ** 40, abs=0.005)


def test_common_samples_pair_what_is_compared():
    shared = np.random.default_rng(1).normal(0, 10, 200)
    one, other = shared + 1.0, shared
    samples = resampled(200)
    assert mean_interval(one - other, samples) == pytest.approx((1.0, 1.0))
    difference = np.subtract(mean_interval(one, samples), mean_interval(other, samples))
    np.testing.assert_allclose(difference, 1.0)


def test_what_is_no_number_is_left_out():
    samples = resampled(3)
    assert mean_interval([np.nan, 3.0, np.nan], samples) == (3.0, 3.0)
    assert np.isnan(mean_interval([np.nan] * 3, samples)).all()
