"""Tests and effect size of paired differences, one a patient."""

from __future__ import annotations

from bisect import bisect_left
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

PERMUTATIONS = 9999
MOST_SEEDS = 999
LARGEST_EFFECT = 100


def wilcoxon_p(differences: Array) -> float:
    """Two-sided p of Wilcoxon's signed-rank test; zero differences are left out.

    Args:
        differences: `(P,)` without NaN.

    Returns:
        NaN for no pair, 1 where no pair differs.
    """
    from scipy.stats import wilcoxon

    if differences.size == 0:
        return float("nan")
    if not differences.any():
        return 1.0
    return float(wilcoxon(differences[differences != 0]).pvalue)


def permutation_p(differences: Array, seed: int = 0) -> float:
    """Two-sided p of the mean difference when signs are flipped (Fisher's randomisation test).

    Exact where there are no more than 9,999 ways to flip them, else of so many random ones, the
    data's own counted. The same p as `scipy.stats.permutation_test` of the same flips; why the
    flips are drawn here: decision 48.

    Args:
        differences: `(P,)` without NaN.
        seed: Of the flips.
    """
    count = differences.size
    if count == 0:
        return float("nan")
    signs = _signs(count, seed)
    sums, seen = np.abs(signs @ differences), abs(float(differences.sum()))
    # Equal sums differ in their last digits by the order of their terms.
    as_far = int(np.count_nonzero(sums >= seen * (1 - 1e-12)))
    exact = len(signs) == 2**count
    return as_far / len(signs) if exact else (as_far + 1) / (len(signs) + 1)


@lru_cache(maxsize=4)
def _signs(count: int, seed: int) -> Array:
    """`(ways, P)` of −1 and 1: all ways, or random ones where there are too many."""
    if 2**count <= PERMUTATIONS:
        flips = (np.arange(2**count)[:, None] >> np.arange(count)) & 1
    else:
        flips = np.random.default_rng(seed).integers(0, 2, (PERMUTATIONS, count))
    return (1 - 2 * flips).astype(np.float64)


def rank_biserial(differences: Array) -> float:
    """Matched-pairs rank-biserial correlation (Kerby 2014): −1…1, the effect of Wilcoxon's test.

    The share of ranks in favour minus the share against: 1 where every patient gains.

    Args:
        differences: `(P,)` without NaN; zeros are left out.

    Returns:
        NaN where no pair differs.
    """
    from scipy.stats import rankdata

    moved = differences[differences != 0]
    if moved.size == 0:
        return float("nan")
    ranks = rankdata(np.abs(moved))
    return float(np.sum(np.sign(moved) * ranks) / np.sum(ranks))


def holm(p_values: Array) -> Array:
    """P-values corrected for the number of comparisons (Holm 1979).

    Args:
        p_values: `(M,)`; NaN is no comparison and stays NaN.

    Returns:
        `(M,)` in the order given.
    """
    from statsmodels.stats.multitest import multipletests

    corrected = np.full(len(p_values), np.nan)
    there = ~np.isnan(p_values)
    if there.any():
        corrected[there] = multipletests(p_values[there], method="holm")[1]
    return corrected


def seeds_needed(differences: Array, power: float = 0.8, alpha: float = 0.05) -> float:
    """How many seeds a paired t-test over seeds needs to find a difference like the one seen.

    Args:
        differences: `(S,)` one a seed: the mean over patients of arm minus parent.
        power: Probability of finding it.
        alpha: Two-sided level.

    Returns:
        A whole number from 2 to 999; infinity where more are needed, NaN with one seed.
    """
    from statsmodels.stats.power import TTestPower

    if len(differences) < 2:
        return float("nan")
    mean, spread = abs(float(np.mean(differences))), float(np.std(differences, ddof=1))
    if mean == 0:
        return float("inf")
    # Seeds may agree to the last digit; two of them are enough for an effect of 100 already.
    effect = mean / max(spread, mean / LARGEST_EFFECT)

    def chance(seeds: int) -> float:
        # The tail on the wrong side adds nothing where the power is near 0.8, and is NaN far out.
        return float(TTestPower().power(effect, seeds, alpha / 2, alternative="larger"))

    most = bisect_left(range(2, MOST_SEEDS + 1), power, key=chance) + 2
    return float(most) if most <= MOST_SEEDS else float("inf")
