"""Dice against training time, for studies that train the same methods by several schedules."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from spsam.reporting.render.model import (
    NOTHING,
    Cell,
    Column,
    Line,
    Scalar,
    Table,
    interval_text,
    number,
    plain,
    ranks,
    signed,
)
from spsam.reporting.statistics.compare import compare_all
from spsam.reporting.tables.study import CostColumn, StudyResults

_MINUTES = CostColumn(
    "minutes", "minutes", "training_seconds", 1 / 60, 1, "training of a run, without scoring"
)

_BUDGETS = (1, 2, 5, 10, 20, 30)
"""Training times in minutes that have a row; followed by 60 and its doublings."""


@dataclass(frozen=True)
class Trained:
    """A method that was trained by one schedule.

    Attributes:
        arm: Name of the arm.
        steps: Number of training steps.
        minutes: Training time of a run, without scoring; the mean over finished runs.
        dice: Mean Dice in percent.
        low: Lower end of its 95% confidence interval over patients.
        high: Upper end of the interval.
    """

    arm: str
    steps: int
    minutes: float
    dice: float
    low: float
    high: float


def trained_by_schedule(study: StudyResults) -> Mapping[str, Sequence[Trained]]:
    """Method -> its finished schedules, shortest first; empty if the study has no schedules."""
    scores = study.scores("dice")
    found: dict[str, list[Trained]] = {}
    for method, arms in study.measured.schedules.items():
        for arm in arms:
            minutes, dice = study.cost(_MINUTES, arm.name), float(scores[arm.name].mean())
            if not math.isnan(minutes) and not math.isnan(dice):
                low, high = study.interval("dice", arm.name)
                each = Trained(arm.name, arm.steps, minutes, 100 * dice, 100 * low, 100 * high)
                found.setdefault(method, []).append(each)
    return found


def time_table(study: StudyResults) -> Table | None:
    """The Dice of each method within a training time; None if the study has no schedules.

    Within each time, a method is represented by its longest schedule that fits, never by its best:
    test cases choose nothing.

    Args:
        study: The study.

    Returns:
        The table. CSV values: minutes; per method `dice: <method>`, `ci_low: <method>`,
        `ci_high: <method>`, `steps: <method>`; ahead, lead, lead_low, lead_high, second. Dice in
        percent.
    """
    methods = trained_by_schedule(study)
    if not methods:
        return None
    columns = [
        Column("minutes", "minutes"),
        *(Column(f"dice: {method}", method) for method in methods),
        Column("lead", "ahead, by [95%]", False),
    ]
    lines = [_line(study, methods, budget) for budget in _budgets(methods)]
    return plain("time", _caption(study), columns, lines)


def _budgets(methods: Mapping[str, Sequence[Trained]]) -> list[int]:
    """The times from the first that any schedule fits into to the first that all fit into."""
    spent = [each.minutes for schedules in methods.values() for each in schedules]
    every = itertools.chain(_BUDGETS, (60 * 2**n for n in itertools.count()))
    budgets = itertools.dropwhile(lambda budget: budget < min(spent), every)
    found = [next(budgets)]
    while found[-1] < max(spent):
        found.append(next(budgets))
    return found


def _line(study: StudyResults, methods: Mapping[str, Sequence[Trained]], budget: int) -> Line:
    within = {
        method: next((each for each in reversed(found) if each.minutes <= budget), None)
        for method, found in methods.items()
    }
    order = ranks([math.nan if each is None else each.dice for each in within.values()])
    cells = [Cell(str(budget), {"minutes": budget})]
    for (method, each), rank in zip(within.items(), order, strict=True):
        cells.append(_score(study, method, each, rank))
    cells.append(_lead(study, within))
    return Line(str(budget), tuple(cells))


def _score(study: StudyResults, method: str, each: Trained | None, rank: int) -> Cell:
    names = ("dice", "ci_low", "ci_high", "steps")
    if each is None:
        return Cell(NOTHING, {f"{name}: {method}": math.nan for name in names})
    numbers = (each.dice, each.low, each.high, each.steps)
    values = {f"{name}: {method}": n for name, n in zip(names, numbers, strict=True)}
    source = study.source(f"mean Dice of {each.arm}, percent", each.arm)
    text = f"{number(each.dice)}{interval_text(each.low, each.high)}"
    return Cell(text, values, rank, source=source)


def _lead(study: StudyResults, within: Mapping[str, Trained | None]) -> Cell:
    """The best method within a time, and its distance to the second best."""
    known = {method: each for method, each in within.items() if each is not None}
    best, *others = sorted(known, key=lambda method: -known[method].dice)
    if not others:
        nothing = dict.fromkeys(("lead", "lead_low", "lead_high"), math.nan)
        return Cell(best, {"ahead": best, **nothing, "second": None})
    one, other = known[best].arm, known[others[0]].arm
    found = compare_all(study.scores("dice"), [(one, other)])[one]
    lead, low, high = (100 * value for value in (found.change, found.low, found.high))
    source = study.source(f"mean Dice of {one} minus that of {other}, percent", one, other)
    values: dict[str, Scalar] = {
        "ahead": best,
        "lead": lead,
        "lead_low": low,
        "lead_high": high,
        "second": others[0],
    }
    text = f"{best}, {signed(lead)}{interval_text(low, high, signed)} ({others[0]})"
    return Cell(text, values, source=source)


def _caption(study: StudyResults) -> str:
    return (
        f"{study.words('Dice within a training time')} Each method was trained from the start to "
        "the end of several schedules. A row shows the longest schedule of each method whose "
        "training took at most this many minutes, without scoring; a dash, if none did. The time "
        "is the mean over runs and depends on the machine. Dice in percent, with the 95% "
        "confidence interval over patients. Last column: the method with the highest Dice, and its "
        "difference to the next (in parentheses), paired over patients."
    )
