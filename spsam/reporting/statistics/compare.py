"""Comparisons of each arm with its parent."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spsam.reporting.statistics.bootstrap import bootstrap_interval, resampling_weights
from spsam.reporting.statistics.paired import (
    holm,
    permutation_p,
    rank_biserial,
    seeds_needed,
    wilcoxon_p,
)
from spsam.reporting.statistics.scores import Scores, nan_mean

Array = NDArray[np.float64]

ALPHA = 0.05


@dataclass(frozen=True)
class Comparison:
    """A comparison of two arms, paired over patients.

    The unit is the patient: several cases or seeds of one patient are not independent. The
    difference of a patient is therefore averaged over its classes, cases and all finished seeds.

    Attributes:
        arm: The arm.
        against: The arm it is compared with.
        patients: Number of patients scored in both arms, P.
        seeds: The smaller number of finished seeds of the two arms.
        change: Difference of the arms' means, arm minus other.
        low: Lower end of the 95% confidence interval of `change`, with patients resampled in pairs.
        high: Upper end of the interval.
        wilcoxon: Two-sided p of Wilcoxon's signed-rank test over patients.
        permutation: Two-sided p of the sign-flip test of the mean over patients.
        corrected: `permutation` after Holm correction over the comparisons of the table.
        effect: Matched-pairs rank-biserial correlation.
        external: Whether one of the arms is external. Its training cannot be repeated by spsam: it
            is tested over patients as it is, and not marked.
        seeds_needed: Number of seeds for which a paired t-test over seeds has power 0.8 at the
            observed difference; NaN with fewer than two common seeds.
    """

    arm: str
    against: str
    patients: int
    seeds: int
    change: float
    low: float
    high: float
    wilcoxon: float
    permutation: float
    corrected: float
    effect: float
    seeds_needed: float
    external: bool = False

    @property
    def tested(self) -> bool:
        """Whether p-values are reported and corrected; not for a single seed of a trained arm."""
        return self.external or self.seeds > 1

    @property
    def significant(self) -> bool:
        """Whether `corrected` is below 0.05; never for a single seed."""
        return self.seeds > 1 and self.corrected < ALPHA

    @property
    def mark(self) -> str:
        """`*` below 0.05, `**` below 0.01, `***` below 0.001 after correction."""
        return stars(self.corrected) if self.significant else ""


def stars(p: float) -> str:
    """`*` for p below 0.05, `**` below 0.01, `***` below 0.001; else empty."""
    return "*" * ((p < ALPHA) + (p < 0.01) + (p < 0.001))


def compare_all(
    scores: Mapping[str, Scores],
    pairs: Sequence[tuple[str, str]],
    externals: Collection[str] = (),
) -> dict[str, Comparison]:
    """Compares pairs of arms and corrects their p-values jointly.

    Args:
        scores: The result of `arm_scores`.
        pairs: (arm, against); pairs are skipped if one of the arms has no finished run.
        externals: Names of external arms.

    Returns:
        Comparisons by arm.
    """
    compared = [
        _compare(arm, scores[arm], against, scores[against])
        for arm, against in pairs
        if len(scores[arm].seeds) and len(scores[against].seeds)
    ]
    found = [
        dataclasses.replace(c, external=c.arm in externals or c.against in externals)
        for c in compared
    ]
    # Comparisons of single seeds are not tested and do not count in the correction.
    tested = np.array([c.permutation if c.tested else math.nan for c in found], float)
    return {
        comparison.arm: dataclasses.replace(comparison, corrected=float(p))
        for comparison, p in zip(found, holm(tested), strict=True)
    }


def patient_differences(arm: Scores, against: Scores) -> Array:
    """`(P',)` differences, arm minus other, of patients scored in both, over shared classes."""
    differences = nan_mean(arm.patient_classes() - against.patient_classes(), -1)
    return differences[~np.isnan(differences)]


def seed_differences(arm: Scores, against: Scores) -> Array:
    """`(S',)` differences, arm minus other, of seeds finished in both."""
    one = dict(zip(arm.seeds, arm.seed_means(), strict=True))
    other = dict(zip(against.seeds, against.seed_means(), strict=True))
    return np.array([one[seed] - other[seed] for seed in arm.seeds if seed in other], float)


def _compare(arm: str, one: Scores, against: str, other: Scores) -> Comparison:
    differences = patient_differences(one, other)
    weights = resampling_weights(len(one.sums))
    low, high = bootstrap_interval(lambda w: one.mean(w) - other.mean(w), weights)
    return Comparison(
        arm=arm,
        against=against,
        patients=len(differences),
        seeds=min(len(one.seeds), len(other.seeds)),
        change=float(one.mean() - other.mean()),
        low=low,
        high=high,
        wilcoxon=wilcoxon_p(differences),
        permutation=permutation_p(differences),
        corrected=math.nan,
        effect=rank_biserial(differences),
        seeds_needed=seeds_needed(seed_differences(one, other)),
    )
