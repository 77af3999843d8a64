"""The cases that illustrate a study: the best, the median and the worst."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from spsam.reporting.tables.study import StudyResults


def case_dice(study: StudyResults, arms: Sequence[str]) -> dict[str, dict[str, float]]:
    """Mean Dice of each case in the first finished run of each arm."""
    rows = study.measured.rows
    rows = rows[(rows["metric"] == "dice") & (rows["class_id"] > 0)]
    result = {}
    for arm in arms:
        of_arm = rows[(rows["arm"] == arm) & (rows["run_id"] == study.finished(arm)[0])]
        means = of_arm.groupby("case", observed=True)["value"].mean().dropna()
        result[arm] = {str(case): float(value) for case, value in means.items()}
    return result


def chosen_cases(scores: Mapping[str, float]) -> dict[str, str]:
    """Best, median and worst case by score, without repetitions; empty without scores."""
    order = sorted(scores, key=lambda case: (scores[case], case))
    if not order:
        return {}
    places = {"best": order[-1], "median": order[len(order) // 2], "worst": order[0]}
    kept: dict[str, str] = {}
    for name, case in places.items():
        if case not in kept.values():
            kept[name] = case
    return kept
