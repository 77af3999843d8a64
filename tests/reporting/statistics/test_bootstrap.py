from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from spsam.reporting.statistics.bootstrap import bootstrap_interval, resampling_weights

VALUES = st.lists(st.integers(0, 1000).map(lambda v: v / 1000), min_size=2, max_size=15).map(
    np.array
)


def interval(values: np.ndarray, *, bca: bool = True, seed: int = 0) -> tuple[float, float]:
    def mean(weights: np.ndarray) -> np.ndarray:
        return weights @ values / weights.sum(-1)

    weights = resampling_weights(len(values), 500, seed)
    return bootstrap_interval(mean, weights, bca=bca)


@pytest.mark.parametrize(("bca", "method"), [(True, "BCa"), (False, "percentile")])
def test_intervals_are_scipys_on_the_same_draws(bca: bool, method: str) -> None:
    values = np.random.default_rng(3).gamma(2, 1, 23)
    # SciPy draws indices of units as `resampling_weights` does.
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=500, method=method, rng=np.random.default_rng(0)
    ).confidence_interval
    assert interval(values, bca=bca) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_a_class_of_few_patients_has_an_interval_where_scipy_has_none() -> None:
    """Decision 48: resamples without a value are left out, SciPy gives NaN."""
    values = np.full(20, np.nan)
    values[:3] = [0.3, 0.5, 0.9]
    there = ~np.isnan(values)

    def mean(weights: np.ndarray) -> np.ndarray:
        counts = weights @ there.astype(float)
        sums = weights @ np.where(there, values, 0)
        return np.divide(sums, counts, out=np.full_like(counts, np.nan), where=counts > 0)

    low, high = bootstrap_interval(mean, resampling_weights(20, 500))
    assert 0.3 <= low < high <= 0.9
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = stats.bootstrap((values,), np.nanmean, n_resamples=500).confidence_interval
    assert math.isnan(theirs.low)


@given(st.integers(2, 40), st.integers(0, 5))
def test_every_draw_has_as_many_units(count: int, seed: int) -> None:
    weights = resampling_weights(count, 50, seed)
    assert weights.shape == (50, count)
    assert np.all(weights.sum(1) == count)
    assert np.all(weights == resampling_weights(count, 50, seed))


@given(VALUES, st.booleans())
def test_an_interval_lies_within_the_values(values: np.ndarray, bca: bool) -> None:
    low, high = interval(values, bca=bca)
    assert values.min() - 1e-9 <= low <= high <= values.max() + 1e-9


@given(VALUES, st.integers(-10, 10), st.integers(1, 10))
def test_an_interval_moves_with_its_values(values: np.ndarray, shift: int, scale: int) -> None:
    low, high = interval(values, bca=False)
    moved = interval(scale * values + shift, bca=False)
    assert moved == pytest.approx((scale * low + shift, scale * high + shift), abs=1e-6)


def test_equal_values_have_a_point_and_one_unit_has_none() -> None:
    assert interval(np.full(4, 0.5)) == pytest.approx((0.5, 0.5))
    assert all(map(math.isnan, interval(np.array([0.5]))))


def test_intervals_cover_what_they_promise() -> None:
    generator = np.random.default_rng(1)
    inside = 0
    for _ in range(200):
        low, high = interval(generator.normal(0.5, 0.1, 25))
        inside += low <= 0.5 <= high
    assert 0.88 <= inside / 200 <= 0.99
