"""The summary of a study's results at the top of its page."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spsam.config.yaml_file import read_yaml
from spsam.errors import SpsamError
from spsam.reporting.render.model import interval_text, number, signed
from spsam.reporting.statistics.compare import Comparison, compare_all
from spsam.reporting.study_data import FINISHED, StudyData
from spsam.reporting.tables.comparisons import p_text
from spsam.reporting.tables.study import StudyResults, counted
from spsam.results.run_folder import RunFolder

FEWEST_STEPS = 100
"""Optimiser steps below which training is too short for any conclusion."""

_NAMED = 5  # Maximum number of arms listed in a title; more are counted.

_MEANINGLESS = (
    "These numbers are meaningless. The schedule ({steps}) only checks that everything runs. "
    "Neither the order of the arms nor their differences indicate their quality."
)
_SCHEDULES = {
    "demo": "A demonstration schedule ({steps}): compare arms only with each other, not with "
    "published values.",
    "cpu": "A short schedule for a small machine ({steps}): compare arms only with each other, not "
    "with published values.",
    "paper": "The paper's schedule ({steps}).",
}
_OTHER = "Schedule {preset} ({steps})."
_UNKNOWN = "steps are not recorded"


@dataclass(frozen=True)
class Verdict:
    """The summary at the top of a page.

    Attributes:
        best: The best arm, as shown in tables.
        score: Its mean Dice in percent, with the 95% confidence interval.
        gain: Its gain over its parent, or over the next best arm if it has no parent, with the
            interval; or why the gain is unknown.
        test: Whether the gain is significant, or why it was not tested; empty without a gain.
        schedule: Description of the training schedule.
        meaningless: Whether the schedule is too short for any conclusion.
        partial: A note on unfinished runs; empty if all are finished.
    """

    best: str
    score: str
    gain: str
    test: str
    schedule: str
    meaningless: bool
    partial: str = ""


def verdict(study: StudyResults) -> Verdict | None:
    """The summary of a study; None if no arm has a score."""
    measured, scores = study.measured, study.scores("dice")
    means = {arm.name: float(scores[arm.name].mean()) for arm in measured.arms}
    scored = [name for name, mean in means.items() if not math.isnan(mean)]
    if not scored:
        return None
    # Of equal arms, the first, which has the fewest changes.
    best = max(scored, key=lambda name: means[name])
    schedule, meaningless = schedule_words(measured)
    states = list(measured.runs["state"])
    finished = states.count(FINISHED)
    change = study.comparisons("dice").get(best)
    others = [name for name in scored if name != best]
    if change is None and others:
        following = max(others, key=lambda name: means[name])
        gain, test = _ahead(study, best, following)
    else:
        gain, test = _gain(study, change), _test(study, change)
    low, high = (100 * end for end in study.interval("dice", best))
    return Verdict(
        best=study.shown(best),
        score=f"{number(100 * means[best])}%{interval_text(low, high)}",
        gain=gain,
        test=test,
        schedule=schedule,
        meaningless=meaningless,
        partial=""
        if finished == len(states)
        else f"{finished} of {len(states)} runs are finished: the order of arms may change.",
    )


def study_title(measured: StudyData) -> str:
    """The title of a study: from its file, or composed of its arms and its data set."""
    own = (measured.about.get("study") or {}).get("title")
    names = [arm.name for arm in measured.arms]
    if own:
        arms = str(own)
    elif len(names) <= _NAMED:
        arms = ", ".join(names)
    else:
        arms = f"{len(names)} arms, {names[0]} to {names[-1]},"
    return f"{arms} on {measured.data['name']}"


def brief(study: StudyResults) -> str:
    """Data, cases, seeds and runs in one line."""
    measured = study.measured
    states = list(measured.runs["state"])
    return " · ".join(
        (
            str(measured.data["name"]),
            f"{counted(measured.test_cases, 'test case')} of {counted(study.patients, 'patient')}",
            counted(len(measured.seeds), "seed"),
            f"{states.count(FINISHED)} of {counted(len(states), 'run')} finished",
        )
    )


def schedule_words(measured: StudyData) -> tuple[str, bool]:
    """A description of the schedule, and whether it is too short for any conclusion."""
    preset = str(measured.about.get("preset") or "")
    lengths = _lengths(measured)
    fewest = min(lengths.values(), default=None)
    kind = Path(preset).stem
    meaningless = kind == "smoke" or (fewest is not None and fewest < FEWEST_STEPS)
    text = _MEANINGLESS if meaningless else _SCHEDULES.get(kind, _OTHER)
    steps = _steps(lengths)
    return text.format(steps=steps, preset=preset or "unknown"), meaningless


def _steps(lengths: Mapping[str, int]) -> str:
    if not lengths:
        return _UNKNOWN
    low, high = min(lengths.values()), max(lengths.values())
    if low == high:
        return counted(low, "optimiser step") + " per run"
    return f"{low} to {high} optimiser steps per run"


def _lengths(measured: StudyData) -> dict[str, int]:
    """Optimiser steps of each arm, from its first readable configuration."""
    home, found = measured.folder.resolve().parents[1], {}
    for arm in measured.arms:
        for run_id in arm.run_ids:
            steps = None if arm.external else _length(RunFolder(home, run_id))
            if steps is not None:
                found[arm.name] = steps
                break
    return found


def _length(run: RunFolder) -> int | None:
    try:
        config: Any = read_yaml(run.config).data
        train = config["arm"]["train"]
        return int(train["epochs"]) * int(train["iterations"])
    except (SpsamError, OSError, KeyError, TypeError, ValueError):  # already listed as missing
        return None


def _gain(study: StudyResults, change: Comparison | None) -> str:
    if change is None:
        return "There is no other arm with a finished run to compare it with."
    low, high = 100 * change.low, 100 * change.high
    interval = interval_text(low, high, signed)
    return f"{signed(100 * change.change)} points{interval} over {study.shown(change.against)}"


def _ahead(study: StudyResults, best: str, following: str) -> tuple[str, str]:
    """The lead over the next best arm, for an arm without a parent among the finished ones."""
    pairs = [(best, following)]
    found = compare_all(study.scores("dice"), pairs, study.measured.externals)[best]
    return (
        f"{_gain(study, found)}, the next best",
        f"Not tested: no parent of {study.shown(best)} is among the finished arms, and the two "
        "arms were selected by the same scores.",
    )


def _test(study: StudyResults, change: Comparison | None) -> str:
    if change is None:
        return ""
    if not change.tested:
        return "Not tested: with a single seed, the difference may be due to chance."
    compared = sum(each.tested for each in study.comparisons("dice").values())
    if math.isnan(change.corrected):
        return "Not tested: no patient has a score in both arms."
    p = p_text(change.corrected)
    how = (
        f"p {p if p.startswith('<') else f'= {p}'}, sign-flip test over "
        f"{counted(change.patients, 'patient')}, Holm-corrected over "
        f"{counted(compared, 'comparison')}"
    )
    if change.external:
        return f"External predictions count as a single seed and are not marked ({how})."
    return f"{'Significant' if change.significant else 'Not significant'} ({how})."
