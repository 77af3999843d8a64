"""The table of an ablation, with one row per arm."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from spsam.reporting.render.model import (
    NOTHING,
    Cell,
    Column,
    Line,
    Scalar,
    Source,
    Table,
    interval_text,
    number,
    plain,
    ranks,
    signed,
)
from spsam.reporting.study_data import FAILED, FINISHED, MISSING, ArmData, folds_of
from spsam.reporting.tables.published import published_ablation
from spsam.reporting.tables.study import COSTS, CostColumn, Metric, StudyResults, counted

PARTIAL = "partial"

_CHANGE = (
    "Change: points relative to the arm in parentheses, with *, ** and *** for p below 0.05, 0.01 "
    "and 0.001 of the sign-flip permutation test over patients (each averaged over cases, classes "
    "and seeds), Holm-corrected over the {count} of this table."
)
_ONE_SEED = " A comparison with a single seed is not tested."
_PUBLISHED = " Published: the paper's values on ACDC, under its own schedule and weights."

_MEANINGS = {
    "dice": "mean Dice over the classes",
    "hd95": "95th percentile of the surface distances in mm, lower is better",
}

Published = Mapping[str, tuple[float, str]]
_Columns = list[tuple[Column, list[Cell]]]


def ablation_table(
    study: StudyResults,
    published: Published | None = None,
    name: str = "ablation",
    *,
    factors: bool = True,
) -> Table:
    """Builds the table.

    The Dice of a class is the mean over cases, without those that the convention excludes; the mean
    Dice of a run is the mean over its foreground classes; that of an arm is the mean over its
    finished seeds.

    Args:
        study: The study.
        published: Arm name -> mean Dice in percent and its place; None: the paper's values.
        name: Stem of the table's files.
        factors: Whether to show the cells of a factorial study by one column per factor instead of
            their titles.

    Returns:
        The table. CSV values: arm, state, seeds (with a finished run), title, dice, ci_low,
        ci_high, std (over seeds), one `dice: <class>` per foreground class, hd95 if measured,
        change, change_low, change_high, p, p_holm, parent, published, trained_parameters, costs;
        for a factorial study also its factors. Dice in percent.
    """
    arms = study.measured.arms
    known = published_ablation() if published is None else published
    by_factor = study.measured.factors if factors else ()
    columns = _factors(study, by_factor) if by_factor else _titles(study)
    for metric in study.metrics:
        columns += _scores(study, metric)
    columns.append((Column("change", "change"), [_change(study, arm) for arm in arms]))
    if any(arm.name in known for arm in arms):
        cells = [_published(known.get(arm.name)) for arm in arms]
        columns.append((Column("published", "published (ACDC)"), cells))
    trained = Column("trained", "trained (M)", meaning="trained parameters in millions")
    columns.append((trained, [_trained(study, arm) for arm in arms]))
    for cost in COSTS:
        cells = [_cost(study, cost, arm) for arm in arms]
        if any(cell.text != NOTHING for cell in cells):
            columns.append((Column(cost.key, cost.head), cells))
    lines = [
        Line(arm.name, tuple(cells))
        for arm, *cells in zip(arms, *[cells for _, cells in columns], strict=True)
    ]
    heads = [column for column, _ in columns]
    return plain(name, _caption(study, [column.key for column in heads]), heads, lines)


def state_of(states: Sequence[str]) -> str:
    """The combined state of an arm's runs: `finished`, `partial`, `failed` or `missing`."""
    finished = sum(state == FINISHED for state in states)
    if finished == len(states) > 0:
        return FINISHED
    if finished:
        return PARTIAL
    return FAILED if FAILED in states else MISSING


def _titles(study: StudyResults) -> _Columns:
    arms = study.measured.arms
    titles = [Cell(arm.title, {"title": arm.title}) for arm in arms]
    return [
        (Column("arm", "arm", False), [_arm_cell(study, arm) for arm in arms]),
        (Column("title", "title", False), titles),
    ]


def _factors(study: StudyResults, factors: Sequence[str]) -> _Columns:
    """One column per factor; the first also contains the facts about the arm."""
    arms = study.measured.arms

    def level(arm: ArmData, factor: str) -> str:
        known = arm.shown if arm.external and factor == factors[0] else NOTHING
        return arm.levels.get(factor, known)

    first = [
        Cell(
            level(arm, factors[0]),
            {
                **_arm_cell(study, arm).values,
                "title": arm.title,
                factors[0]: arm.levels.get(factors[0]),
            },
        )
        for arm in arms
    ]
    return [
        (Column("arm", factors[0], False), first),
        *(
            (
                Column(f"factor: {factor}", factor, False),
                [Cell(level(arm, factor), {factor: arm.levels.get(factor)}) for arm in arms],
            )
            for factor in factors[1:]
        ),
    ]


def _arm_cell(study: StudyResults, arm: ArmData) -> Cell:
    states = study.states(arm.name)
    folds = len(folds_of(study.measured.about))
    # Runs are sorted by seed; a seed with at least one finished fold counts, as in comparisons.
    seeds = sum(FINISHED in states[at : at + folds] for at in range(0, len(states), folds))
    values: dict[str, Scalar] = {"arm": arm.name, "state": state_of(states), "seeds": seeds}
    if study.measured.externals:
        values["external"] = int(arm.external)
    return Cell(arm.shown, values)


def _scores(study: StudyResults, metric: Metric) -> _Columns:
    arms, main = study.measured.arms, metric.key == "dice"
    scores = study.scores(metric.key)
    means = [metric.scale * float(scores[arm.name].mean()) for arm in arms]
    order = ranks(means, higher=metric.higher)
    cells = [
        _mean_cell(study, metric, arm, mean, rank)
        for arm, mean, rank in zip(arms, means, order, strict=True)
    ]
    columns: _Columns = [(Column(metric.key, metric.head, meaning=_MEANINGS[metric.key]), cells)]
    spread = [_spread(study, metric, arm) for arm in arms]
    if main and any(cell.text != NOTHING for cell in spread):
        columns.append(
            (Column("spread", "SD (seeds)", meaning="standard deviation over seeds"), spread)
        )
    if not main:
        return columns
    for k, name in enumerate(study.measured.class_labels[1:]):
        key = f"{metric.key}: {name}"
        values = [metric.scale * float(scores[arm.name].classes([k]).mean()) for arm in arms]
        shown = [
            Cell(number(v), {key: v}, rank, source=study.source(_how(metric, name), arm.name))
            for arm, v, rank in zip(arms, values, ranks(values), strict=True)
        ]
        columns.append((Column(key, name, of_class=True, meaning="Dice of the class"), shown))
    return columns


def _mean_cell(study: StudyResults, metric: Metric, arm: ArmData, mean: float, rank: int) -> Cell:
    low, high = (metric.scale * end for end in study.interval(metric.key, arm.name))
    states, main = study.states(arm.name), metric.key == "dice"
    text = number(mean)
    if main:
        text += interval_text(low, high)
        if state_of(states) == PARTIAL:
            text += f" (n={states.count(FINISHED)})"
        if state_of(states) == FAILED:
            text = FAILED
    prefix = "" if main else f"{metric.key}_"
    values = {metric.key: mean, f"{prefix}ci_low": low, f"{prefix}ci_high": high}
    return Cell(text, values, rank, source=study.source(_how(metric), arm.name))


def _spread(study: StudyResults, metric: Metric, arm: ArmData) -> Cell:
    seeds = study.scores(metric.key)[arm.name].seed_means()
    value = metric.scale * float(seeds.std(ddof=1)) if len(seeds) > 1 else math.nan
    how = "standard deviation over seeds of the runs' mean Dice"
    return Cell(number(value), {"std": value}, source=study.source(how, arm.name))


def _change(study: StudyResults, arm: ArmData) -> Cell:
    found = study.comparisons("dice").get(arm.name)
    if found is None:
        nothing = dict.fromkeys(("change", "change_low", "change_high", "p", "p_holm"), math.nan)
        return Cell("", {**nothing, "parent": arm.parent})
    text = f"{signed(100 * found.change)}{found.mark} ({study.shown(found.against)})"
    values = {
        "change": 100 * found.change,
        "change_low": 100 * found.low,
        "change_high": 100 * found.high,
        "p": found.permutation if found.tested else math.nan,
        "p_holm": found.corrected,
        "parent": arm.parent,
    }
    how = f"mean Dice of {arm.name} minus that of {found.against}, percent"
    return Cell(text, values, source=study.source(how, arm.name, found.against))


def _published(known: tuple[float, str] | None) -> Cell:
    if known is None:
        return Cell(NOTHING, {"published": math.nan})
    value, place = known
    return Cell(number(value), {"published": value}, source=Source("as printed", published=place))


def _trained(study: StudyResults, arm: ArmData) -> Cell:
    count = arm.trained_parameters
    if math.isnan(count):
        return Cell(NOTHING, {"trained_parameters": math.nan})
    source = study.source("parameters of the added blocks", arm.name, scored=False)
    return Cell(f"{count / 1e6:.3f}", {"trained_parameters": count}, source=source)


def _cost(study: StudyResults, cost: CostColumn, arm: ArmData) -> Cell:
    value = study.cost(cost, arm.name)
    source = study.source(f"{cost.how}, mean over runs", arm.name, scored=False)
    return Cell(number(value, cost.digits), {cost.key: value}, source=source)


def _how(metric: Metric, of_class: str | None = None) -> str:
    unit = "percent" if metric.scale == 100 else "mm"
    what = f"of {of_class}, " if of_class else "over classes, "
    return f"{metric.key} in {unit}: mean over cases, {what}then over seeds"


def _caption(study: StudyResults, keys: Sequence[str]) -> str:
    comparisons = study.comparisons("dice").values()
    tested = [comparison for comparison in comparisons if comparison.tested]
    text = study.words("Dice in percent")
    if study.patients > 1:
        text += (
            " In square brackets: 95% confidence interval over patients (BCa bootstrap, 2,000 "
            "resamples)."
        )
    if tested:
        text += " " + _CHANGE.format(count=counted(len(tested), "comparison"))
    elif comparisons:
        text += " Change: points relative to the arm in parentheses."
    if len(tested) < len(comparisons):
        text += _ONE_SEED
    text += _PUBLISHED if "published" in keys else ""
    costs = [f"{cost.head}: {cost.how}" for cost in COSTS if cost.key in keys]
    return text + (f" {'; '.join(costs)}." if costs else "")
