from __future__ import annotations

import gc
import math
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.power import TTestPower

from spsam.reporting.statistics import paired
from spsam.reporting.statistics.paired import (
    holm,
    permutation_p,
    rank_biserial,
    seeds_needed,
    wilcoxon_p,
)

# Dice of ten patients under two networks, as recorded.
ONE = np.array([0.41, 0.53, 0.38, 0.61, 0.47, 0.55, 0.49, 0.52, 0.36, 0.58])
OTHER = np.array([0.39, 0.55, 0.31, 0.57, 0.47, 0.50, 0.43, 0.49, 0.37, 0.50])

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=8).map(np.array)
DIFFERENCES = st.lists(st.integers(-100, 100).map(lambda v: v / 100), min_size=1, max_size=7).map(
    np.array
)


@pytest.fixture(autouse=True, scope="module")
def nothing_to_collect() -> Iterator[None]:
    """statsmodels collects garbage at each correction: seconds beside all a test process holds."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def test_wilcoxon_is_scipys() -> None:
    assert wilcoxon_p(ONE - OTHER) == stats.wilcoxon(ONE, OTHER, zero_method="wilcox").pvalue


def test_permutation_is_scipys_where_both_are_exact() -> None:
    differences = ONE - OTHER
    theirs = stats.permutation_test(
        (differences,),
        lambda x, axis: np.mean(x, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=np.inf,
    )
    assert permutation_p(differences) == pytest.approx(theirs.pvalue)


@pytest.mark.parametrize("count", [3, 14, 25])
def test_permutation_is_scipys_of_the_same_flips(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    differences = np.random.default_rng(count).normal(0.3, 1, count)
    flips = []

    def distance(values: np.ndarray, axis: int) -> np.ndarray:
        if values.ndim > 1:
            flips.append(values / differences)
        return np.abs(np.mean(values, axis=axis))

    theirs = stats.permutation_test(
        (differences,),
        distance,
        permutation_type="samples",
        alternative="greater",  # "two-sided" doubles the smaller tail of the flips drawn
        vectorized=True,
        n_resamples=paired.PERMUTATIONS,
        rng=np.random.default_rng(1),
    )
    drawn = np.concatenate(flips)
    assert len(drawn) == min(2**count, paired.PERMUTATIONS)
    monkeypatch.setattr(paired, "_signs", lambda *_: drawn)
    assert permutation_p(differences) == pytest.approx(theirs.pvalue, abs=1e-12)


def test_permutation_of_many_pairs_is_near_the_exact_one() -> None:
    differences = np.random.default_rng(0).normal(0.4, 1, 16)
    all_signs = 1 - 2 * ((np.arange(2**16)[:, None] >> np.arange(16)) & 1)
    exact = np.mean(np.abs(all_signs @ differences) >= abs(differences.sum()) - 1e-12)
    assert permutation_p(differences) == pytest.approx(exact, abs=0.01)
    assert permutation_p(differences) == permutation_p(differences)  # the same draws


@given(DIFFERENCES)
def test_tests_know_no_direction(differences: np.ndarray) -> None:
    for test in (wilcoxon_p, permutation_p):
        assert test(differences) == pytest.approx(test(-differences))
        assert 0 < test(differences) <= 1


@given(DIFFERENCES.filter(np.any))
def test_rank_biserial_is_between_its_ends_and_changes_sign(differences: np.ndarray) -> None:
    effect = rank_biserial(differences)
    assert -1 - 1e-12 <= effect <= 1 + 1e-12
    assert rank_biserial(-differences) == pytest.approx(-effect)
    assert rank_biserial(np.abs(differences)) == pytest.approx(1)


def test_rank_biserial_agrees_with_wilcoxons_statistic() -> None:
    moved = (ONE - OTHER)[ONE != OTHER]
    ranks = len(moved) * (len(moved) + 1) / 2
    against = stats.wilcoxon(moved, alternative="two-sided").statistic  # the smaller sum
    assert rank_biserial(moved) == pytest.approx(1 - 2 * against / ranks)


def test_nothing_and_no_difference() -> None:
    nothing, same = np.array([]), np.zeros(5)
    assert math.isnan(wilcoxon_p(nothing))
    assert math.isnan(permutation_p(nothing))
    assert wilcoxon_p(same) == permutation_p(same) == 1
    assert math.isnan(rank_biserial(same))


def test_holm_is_its_textbook_example() -> None:
    # The smallest of four is multiplied by 4, the next by 3; none is below the one before.
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([])).size == 0
    assert np.isnan(holm(np.full(2, np.nan))).all()


@settings(max_examples=10)
@given(P_VALUES, st.randoms())
def test_holm_only_raises_keeps_the_order_and_follows_the_comparisons(
    p_values: np.ndarray, random: object
) -> None:
    corrected = holm(p_values)
    assert np.all(corrected >= p_values)
    assert np.all(corrected <= np.minimum(1, len(p_values) * p_values) + 1e-12)
    order = np.argsort(p_values, kind="stable")
    assert np.all(np.diff(corrected[order]) >= 0)
    shuffled = np.random.default_rng(0).permutation(len(p_values))
    assert holm(p_values[shuffled]) == pytest.approx(corrected[shuffled])


@settings(max_examples=10)
@given(P_VALUES)
def test_what_is_no_comparison_does_not_count(p_values: np.ndarray) -> None:
    with_holes = np.append(np.insert(p_values, 0, np.nan), np.nan)
    corrected = holm(with_holes)
    assert np.isnan(corrected[[0, -1]]).all()
    assert corrected[1:-1] == pytest.approx(holm(p_values))


@pytest.mark.parametrize("spread", [0.005, 0.02, 0.05])
def test_seeds_needed_are_those_of_statsmodels(spread: float) -> None:
    differences = 0.02 + spread * np.array([-1.0, 0.2, 0.8])
    effect = differences.mean() / differences.std(ddof=1)
    needed = seeds_needed(differences)
    power = TTestPower().power
    assert power(effect, needed, 0.05) >= 0.8
    assert needed == 2 or power(effect, needed - 1, 0.05) < 0.8
    # With fewer than two, `solve_power` has no answer.
    assert needed == max(2, math.ceil(TTestPower().solve_power(effect, alpha=0.05, power=0.8)))


def test_seeds_needed_at_the_ends() -> None:
    assert math.isnan(seeds_needed(np.array([0.1])))
    assert seeds_needed(np.array([0.1, -0.1])) == math.inf
    assert seeds_needed(np.array([0.1, 0.1, 0.1])) == 2
    assert seeds_needed(np.array([0.1, 0.1 + 1e-15, 0.1])) == 2
    assert math.isnan(seeds_needed(np.array([])))
    assert seeds_needed(np.array([1.0, -0.99])) == math.inf  # more than anybody trains
