"""Main effects and interactions of a factorial study."""

from __future__ import annotations

from spsam.reporting.render.model import Cell, Column, Group, Line, Table, interval_text, signed
from spsam.reporting.statistics.compare import stars
from spsam.reporting.statistics.effects import Effect, effects
from spsam.reporting.tables.comparisons import p_text
from spsam.reporting.tables.study import Metric, StudyResults

_COLUMNS = (
    Column("factor", "factor", False),
    Column("level", "level", False),
    Column("reference", "against", False),
    Column("effect", "effect [95%]"),
    Column("p", "p sign-flip"),
    Column("holm", "p Holm"),
)

_KINDS = {1: "main effects", 2: "interactions"}


def effects_table(study: StudyResults) -> Table | None:
    """The effect of each factor and of each pair of factors; None for other shapes.

    Args:
        study: The study; its arms are the cells.

    Returns:
        The table. CSV values: metric, kind, factor, level, reference, effect, low, high, p, p_holm.
        Dice in points of percent.
    """
    arms = [arm for arm in study.measured.arms if not arm.external]
    cells = [arm.levels for arm in arms]
    if not cells or not all(cells):
        return None
    groups: list[Group] = []
    for metric in study.metrics:
        scores = study.scores(metric.key)
        found = effects([scores[arm.name] for arm in arms], cells)
        for count, kind in _KINDS.items():
            own = [effect for effect in found if len(effect.contrast.factors) == count]
            if own:
                title = f"{metric.head}, {kind}"
                groups.append(Group(title, tuple(_line(study, metric, kind, e) for e in own)))
    if not groups:
        return None
    return Table("effects", _caption(study), _COLUMNS, tuple(groups), grouped_by="metric")


def _caption(study: StudyResults) -> str:
    return (
        f"{study.words('Effects of the factors')} Dice in points of percent, HD95 in mm. Main "
        "effect: the marginal mean of the level minus that of the reference level, by least "
        "squares on effect-coded factors over the cell means. Interaction: the difference between "
        "the effects of the first factor at the level of the second factor and at its reference; 0 "
        "if effects add up. 95% BCa bootstrap confidence interval over patients (2,000 resamples, "
        "the same in all cells); sign-flip permutation test over patients, Holm-corrected over the "
        "effects of one metric. With a single seed, nothing is tested."
    )


def _line(study: StudyResults, metric: Metric, kind: str, effect: Effect) -> Line:
    contrast, scale = effect.contrast, metric.scale
    factor, level, reference = (
        " × ".join(words) for words in (contrast.factors, contrast.levels, contrast.references)
    )
    arms = [arm.name for arm in study.measured.arms]
    how = f"{metric.key}: {kind.removesuffix('s')} of {factor} = {level} against {reference}"
    source = study.source(how, *arms)
    holm = f"{p_text(effect.corrected)}{stars(effect.corrected)}"
    low, high = scale * effect.low, scale * effect.high
    interval = interval_text(low, high, signed)
    values = {"effect": scale * effect.value, "low": low, "high": high}
    cells = (
        Cell(factor, {"metric": metric.key, "kind": kind.removesuffix("s"), "factor": factor}),
        Cell(level, {"level": level}),
        Cell(reference, {"reference": reference}),
        Cell(f"{signed(scale * effect.value)}{interval}", values, source=source),
        Cell(p_text(effect.p), {"p": effect.p}, source=source),
        Cell(holm, {"p_holm": effect.corrected}, source=source),
    )
    pairs = zip(contrast.factors, contrast.levels, strict=True)
    key = ",".join(f"{name}={word}" for name, word in pairs)
    return Line(key if metric.key == "dice" else f"{key}:{metric.key}", cells)
