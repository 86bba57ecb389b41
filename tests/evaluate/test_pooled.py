"""Intervals of means over molecules and seeds, against scipy and closed forms."""

import numpy as np
import pytest
from scipy import stats

from force2geo.evaluate.pooled import Pooled, contrast, pooled, verdict


def test_of_one_seed_it_is_scipy_s_percentile_bootstrap():
    errors = np.random.default_rng(1).gamma(2.0, 0.05, 300)
    found = pooled(errors[None], draws=20_000)
    theirs = stats.bootstrap(
        (errors,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    assert found.mean == pytest.approx(errors.mean())
    assert (found.seeds, found.molecules) == (1, 300)
    width = theirs.high - theirs.low
    assert found.low == pytest.approx(theirs.low, abs=0.03 * width)
    assert found.high == pytest.approx(theirs.high, abs=0.03 * width)


def test_of_normal_errors_of_one_seed_it_is_the_textbook_s():
    errors = np.random.default_rng(3).normal(1.0, 0.2, 2000)
    found = pooled(errors[None], draws=20_000)
    half = 1.96 * errors.std() / np.sqrt(len(errors))
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.03)


@pytest.mark.parametrize("seeds", [3, 4])
def test_seeds_are_a_second_source_of_chance_and_no_more_molecules(seeds):
    """Half the interval is √(z² σ_m²/M + t² σ_s²/S), σ_s² the sample's with n − 1."""
    rng = np.random.default_rng(4)
    molecule, shift = rng.normal(0, 0.3, 500), rng.normal(0, 0.05, seeds)
    values = 1.0 + molecule + shift[:, None]
    for percent in (68, 80, 95):
        found = pooled(values, draws=20_000, percent=percent)
        quantile = 0.5 + percent / 200
        z, t = stats.norm.ppf(quantile), stats.t.ppf(quantile, seeds - 1)
        half = np.sqrt(z**2 * molecule.var() / 500 + t**2 * shift.var(ddof=1) / seeds)
        assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.06)
    # Wider than if the seeds were as many molecules more, or no chance at all.
    assert found.high - found.low > 1.5 * 2 * 1.96 * values.std() / np.sqrt(values.size)
    assert found.high - found.low > 1.1 * 2 * 1.96 * molecule.std() / np.sqrt(500)


def test_an_interval_of_seeds_that_agree_is_that_of_one():
    errors = np.random.default_rng(5).gamma(2.0, 0.05, 400)
    one, three = pooled(errors[None], 10_000), pooled(np.stack([errors] * 3), 10_000)
    assert one.mean == pytest.approx(three.mean)
    assert three.high - three.low == pytest.approx(one.high - one.low, rel=0.03)


def test_a_difference_is_paired_by_molecule():
    """What molecules have in common falls out: scipy's paired bootstrap says the same."""
    rng = np.random.default_rng(6)
    hard = rng.gamma(2.0, 0.1, 400)
    one, other = hard + rng.normal(0.01, 0.02, 400), hard + rng.normal(0.0, 0.02, 400)
    found = contrast([(1, {7: one}), (-1, {7: other})], draws=10_000)
    theirs = stats.bootstrap(
        (one, other), lambda a, b, axis: a.mean(axis) - b.mean(axis), paired=True,
        n_resamples=10_000, method="percentile", rng=np.random.default_rng(7),
    ).confidence_interval  # fmt: skip
    width = theirs.high - theirs.low
    assert found.mean == pytest.approx(one.mean() - other.mean())
    assert found.low == pytest.approx(theirs.low, abs=0.05 * width)
    assert found.high == pytest.approx(theirs.high, abs=0.05 * width)
    apart = np.hypot(one.std(), other.std()) / np.sqrt(400)  # if they were other molecules
    assert width < 0.5 * 2 * 1.96 * apart


def test_rows_are_paired_by_the_seeds_that_both_have():
    shift = {7: 0.0, 8: 1.0, 9: -1.0}  # a chance that a training and its start share
    base = np.linspace(0, 1, 50)
    one = {seed: base + s + 0.1 for seed, s in shift.items()}
    found = contrast([(1, one), (-1, {seed: base + s for seed, s in shift.items()})])
    assert found.seeds == 3 and found == pytest.approx(Pooled(0.1, 0.1, 0.1, 3, 50))
    assert contrast([(1, one), (-1, {8: base + 1.0})]).seeds == 1
    assert contrast([(1, one), (-1, {8: base + 1.0})]).mean == pytest.approx(0.1)
    assert contrast([(1, one), (-1, {6: base})]) is None


@pytest.mark.parametrize(("seeds", "spread"), [(1, 0.0), (2, 0.05), (3, 0.05), (5, 0.02)])
def test_an_interval_holds_the_truth_as_often_as_it_says(seeds, spread):
    rng = np.random.default_rng(8)
    covered = 0
    for _ in range(300):
        values = 1 + rng.normal(0, 0.1, 50) + rng.normal(0, spread, (seeds, 1))
        found = pooled(values, draws=400, seed=int(rng.integers(1 << 30)))
        covered += found.low <= 1 <= found.high
    assert 0.90 < covered / 300 < 0.99  # without Student's, of two seeds, 0.66


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [(0.01, 0.02, "shown"), (-0.01, 0.02, "not shown"), (-0.02, -0.01, "opposite"),
     (0.0, 0.1, "not shown")],
)  # fmt: skip
def test_a_verdict_is_of_the_whole_interval(low, high, word):
    assert verdict(Pooled((low + high) / 2, low, high, 1, 10)) == word
    assert verdict(Pooled((low + high) / 2, low, high, 1, 9)) == "not shown"
