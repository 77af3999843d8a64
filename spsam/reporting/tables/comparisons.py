"""The statistics of an ablation: comparisons of each arm with its parent."""

from __future__ import annotations

import math

from spsam.reporting.render.model import (
    NOTHING,
    Cell,
    Column,
    Group,
    Line,
    Scalar,
    Table,
    interval_text,
    number,
    signed,
)
from spsam.reporting.statistics.compare import Comparison
from spsam.reporting.statistics.mixed import MixedEffects, mixed_effects
from spsam.reporting.tables.study import Metric, StudyResults

# Each fit takes a fraction of a second; more would take too long.
MOST_FITS = 30

_COLUMNS = (
    Column("arm", "arm", False),
    Column("against", "against", False),
    Column("change", "change [95%]"),
    Column("seeds", "seeds"),
    Column("wilcoxon", "p Wilcoxon"),
    Column("permutation", "p sign-flip"),
    Column("holm", "p Holm"),
    Column("effect", "rank-biserial"),
    Column("mixed", "mixed effects ± SE (p)"),
    Column("seed_sd", "SD run"),
    Column("needed", "seeds needed"),
)


def comparisons_table(study: StudyResults, *, mixed: bool = True) -> Table | None:
    """All comparisons of a study; None if there are none.

    Args:
        study: The study.
        mixed: Fit mixed-effects models, which requires statsmodels.
    """
    notes = _Notes()
    groups = []
    for metric in study.metrics:
        found = list(study.comparisons(metric.key).values())
        if found:
            fit = mixed and len(found) <= MOST_FITS
            lines = tuple(_line(study, metric, c, notes, mixed=fit) for c in found)
            groups.append(Group(metric.head, lines))
    if not groups:
        return None
    columns = list(_COLUMNS)
    caption = _caption(study)
    if mixed:
        caption += _MIXED
    table = Table("comparisons", caption, tuple(columns), tuple(groups), notes.by_letter, "metric")
    return table if mixed else table.without(["mixed", "seed_sd"])


_MIXED = (
    " Mixed effects: score ~ arm + (1 | patient) + (1 | run) by REML; coefficient of the arm with "
    "standard error and Wald p. SD run: the model's standard deviation between runs of one arm."
)


def _caption(study: StudyResults) -> str:
    return (
        f"{study.words('Differences between arms and their parents')} Dice in "
        "points of percent, HD95 in mm. Paired over patients, each averaged over cases, classes "
        "and finished seeds: 95% BCa bootstrap confidence interval (2,000 resamples), Wilcoxon's "
        "signed-rank test, sign-flip permutation test of the mean (also Holm-corrected over the "
        "comparisons of one metric), matched-pairs rank-biserial correlation. These tests "
        "generalise to new patients, not to new seeds: a comparison with a single seed is not "
        "tested. Seeds needed: number of seeds for which a paired t-test over seeds detects the "
        "observed difference with power 0.8 at level 0.05."
    )


class _Notes:
    """Footnotes; equal texts share a letter."""

    def __init__(self) -> None:
        self.by_letter: dict[str, str] = {}

    def letter(self, text: str) -> str:
        for letter, known in self.by_letter.items():
            if known == text:
                return letter
        letter = chr(ord("a") + len(self.by_letter))
        self.by_letter[letter] = text
        return letter


def _line(
    study: StudyResults, metric: Metric, c: Comparison, notes: _Notes, *, mixed: bool
) -> Line:
    scores, scale = study.scores(metric.key), metric.scale
    if mixed:
        model = mixed_effects(scores[c.arm], scores[c.against])
    else:
        model = MixedEffects(reason=f"more than {MOST_FITS} comparisons")
    reason = f"No mixed-effects model: {model.reason}." if model.reason else ""
    source = study.source(f"{metric.key}: {c.arm} against {c.against}", c.arm, c.against)
    p_values = {
        "wilcoxon": c.wilcoxon if c.tested else math.nan,
        "permutation": c.permutation if c.tested else math.nan,
        "holm": c.corrected,
    }
    change: dict[str, Scalar] = {
        "metric": metric.key,
        "change": scale * c.change,
        "low": scale * c.low,
        "high": scale * c.high,
        "patients": c.patients,
    }
    interval = interval_text(scale * c.low, scale * c.high, signed)
    fitted = {"mixed": scale * model.change, "mixed_se": scale * model.error, "mixed_p": model.p}
    needed = c.seeds_needed if math.isfinite(c.seeds_needed) else math.nan
    cells = (
        Cell(study.shown(c.arm), {"arm": c.arm}),
        Cell(study.shown(c.against), {"against": c.against}),
        Cell(f"{signed(scale * c.change)}{interval}", change, source=source),
        Cell(str(c.seeds), {"seeds": c.seeds}),
        *(
            Cell(p_text(p) + (c.mark if key == "holm" else ""), {f"p_{key}": p}, source=source)
            for key, p in p_values.items()
        ),
        Cell(number(c.effect), {"rank_biserial": c.effect}, source=source),
        Cell(
            _fit_text(model, scale),
            fitted,
            notes=(notes.letter(reason),) if mixed and reason else (),
            source=source,
        ),
        Cell(number(scale * model.seed_sd), {"run_sd": scale * model.seed_sd}, source=source),
        Cell(_needed_text(c.seeds_needed), {"seeds_needed": needed}, source=source),
    )
    key = c.arm if metric.key == "dice" else f"{c.arm}:{metric.key}"
    return Line(key, cells)


def p_text(p: float) -> str:
    """A p-value as text."""
    if math.isnan(p):
        return NOTHING
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _fit_text(model: MixedEffects, scale: float) -> str:
    if model.reason:
        return NOTHING
    text = f"{signed(scale * model.change)} ± {scale * model.error:.2f}"
    return f"{text} ({p_text(model.p)})"


def _needed_text(needed: float) -> str:
    if math.isnan(needed):
        return NOTHING
    return f"{needed:.0f}" if needed < 1000 else ">999"
