"""Tests and effect size of paired differences, one a patient."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

PERMUTATIONS = 9999


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
    """Two-sided p of the mean difference when signs are flipped at random.

    Exact where there are no more than 9,999 ways to flip them.

    Args:
        differences: `(P,)` without NaN.
        seed: Of the flips.
    """
    from scipy.stats import permutation_test

    if differences.size == 0:
        return float("nan")
    if differences.size == 1 or not differences.any():
        return 1.0
    result = permutation_test(
        (differences,),
        lambda x, axis: np.mean(x, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=PERMUTATIONS,
        batch=1000,
        rng=np.random.default_rng(seed),
    )
    return float(result.pvalue)


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
    corrected = np.full(len(p_values), np.nan)
    there = np.flatnonzero(~np.isnan(p_values))
    order = there[np.argsort(p_values[there], kind="stable")]
    steps = p_values[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return corrected


def seeds_needed(differences: Array, power: float = 0.8, alpha: float = 0.05) -> float:
    """How many seeds a paired t-test over seeds needs to find a difference like the one seen.

    Args:
        differences: `(S,)` one a seed: the mean over patients of arm minus parent.
        power: Probability of finding it.
        alpha: Two-sided level.

    Returns:
        A whole number, at least 2; NaN with one seed, infinity where seeds show no difference.
    """
    from scipy.optimize import brentq
    from scipy.stats import nct, t

    if len(differences) < 2:
        return float("nan")
    mean, spread = abs(float(np.mean(differences))), float(np.std(differences, ddof=1))
    if mean == 0:
        return float("inf")
    if spread < 1e-12 * mean:
        return 2.0
    effect = mean / spread

    def lacking(n: float) -> float:
        limit = t.ppf(1 - alpha / 2, n - 1)
        shift = effect * np.sqrt(n)
        found = nct.sf(limit, n - 1, shift) + nct.cdf(-limit, n - 1, shift)
        return float(found - power)

    most = 1e6
    if lacking(2) >= 0:
        return 2.0
    # The normal approximation holds where seeds are so many.
    if lacking(most) < 0:
        return float("inf")
    return float(np.ceil(brentq(lacking, 2, most) - 1e-9))
