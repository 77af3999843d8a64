"""Each arm against the arm it is a change of."""

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
    """An arm against another, paired over patients.

    The unit is the patient: cases of one patient are no independent evidence, and neither are
    several seeds on one patient, so a patient's difference is the mean over its classes of the mean
    over its cases and all finished seeds.

    Attributes:
        arm: The arm.
        against: The other one.
        patients: P, those that both arms scored.
        seeds: The fewer of the two arms' finished seeds.
        change: Arm minus other, of the arms' means.
        low: Lower end of the 95% interval of `change`, patients resampled in pairs.
        high: Its upper end.
        wilcoxon: Two-sided p of Wilcoxon's signed-rank test over patients.
        permutation: Two-sided p of the sign-flip test of the mean over patients.
        corrected: `permutation` after Holm over the comparisons of the table.
        effect: Matched-pairs rank-biserial correlation.
        external: Whether one of the two was predicted elsewhere. Its training cannot be repeated
            here: it is tested over patients as it is, and gets no mark.
        seeds_needed: Seeds that a paired t-test over seeds needs for power 0.8 at the difference
            seen; NaN with fewer than two seeds in common.
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
        """Whether its p-values are reported and corrected: a single seed of our own may be luck."""
        return self.external or self.seeds > 1

    @property
    def significant(self) -> bool:
        """Whether `corrected` is below 0.05; never with one seed, which may be luck."""
        return self.seeds > 1 and self.corrected < ALPHA

    @property
    def mark(self) -> str:
        """`*` below 0.05, `**` below 0.01, `***` below 0.001 after correction."""
        return stars(self.corrected) if self.significant else ""


def stars(p: float) -> str:
    """One for a p below 0.05, two below 0.01, three below 0.001."""
    return "*" * ((p < ALPHA) + (p < 0.01) + (p < 0.001))


def compare_all(
    scores: Mapping[str, Scores],
    pairs: Sequence[tuple[str, str]],
    externals: Collection[str] = (),
) -> dict[str, Comparison]:
    """Compares arms, and corrects their p-values together.

    Args:
        scores: Of `arm_scores`.
        pairs: (arm, against); pairs where one has no finished run are left out.
        externals: Which of the arms were predicted elsewhere.

    Returns:
        By arm.
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
    # A comparison of single seeds is no test of the arms: it neither counts nor is corrected.
    tested = np.array([c.permutation if c.tested else math.nan for c in found], float)
    return {
        comparison.arm: dataclasses.replace(comparison, corrected=float(p))
        for comparison, p in zip(found, holm(tested), strict=True)
    }


def patient_differences(arm: Scores, against: Scores) -> Array:
    """`(P',)` arm minus other of each patient that both score, mean over shared classes."""
    differences = nan_mean(arm.patient_classes() - against.patient_classes(), -1)
    return differences[~np.isnan(differences)]


def seed_differences(arm: Scores, against: Scores) -> Array:
    """`(S',)` arm minus other of each seed that both finished."""
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
