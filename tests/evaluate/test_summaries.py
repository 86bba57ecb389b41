"""Means, spreads, ranks and intervals against numbers worked out by hand or in closed form."""

import numpy as np
import pytest

from force2geo.evaluate.summaries import between, mean_and_deviation, ranks, resampled


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


def test_samples_are_drawn_with_replacement_and_are_the_same_again():
    samples = resampled(40)
    assert samples.shape == (2000, 40) and (samples == resampled(40)).all()
    assert set(samples.ravel()) == set(range(40))
    # Of n things a sample has 1 − (1 − 1/n)ⁿ.
    share = np.mean([len(set(one)) for one in samples.tolist()]) / 40
    assert share == pytest.approx(1 - (1 - 1 / 40) ** 40, abs=0.005)


def test_what_lies_between_is_so_much_of_it():
    values = np.random.default_rng(0).permutation(np.append(np.arange(1001.0), np.nan))
    assert between(values) == pytest.approx((25.0, 975.0))
    assert between(values, 50) == pytest.approx((250.0, 750.0))
    assert np.isnan(between(values[:0])).all()
