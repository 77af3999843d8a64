"""The cases on a page, with links to the pages written by `spsam view`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from spsam.reporting.chosen_cases import case_dice, chosen_cases
from spsam.reporting.page.facts import address
from spsam.reporting.tables.study import StudyResults
from spsam.text.file_name import file_name

CASES = "cases"
"""Folder of the pages written by `spsam view`, next to the report's page."""


MOST_ARMS = 12
"""Maximum number of arms in the table of cases; the best are shown."""


@dataclass(frozen=True)
class ShownCase:
    """A case on the page.

    Attributes:
        role: `best`, `median` or `worst`; empty for other cases.
        case: Id of the case.
        dice: Mean Dice over classes in the first finished run of each arm, percent; None without a
            score.
        page: Address relative to the report's page; empty if there is no page.
    """

    role: str
    case: str
    dice: tuple[float | None, ...]
    page: str


def shown_arms(study: StudyResults) -> list[str]:
    """The arms in the table of cases: those with a finished run (the best, if many), last one last.

    Args:
        study: The study.
    """
    arms = [arm.name for arm in study.measured.arms if study.finished(arm.name)]
    if len(arms) <= MOST_ARMS:
        return arms
    means = {name: float(study.scores("dice")[name].mean()) for name in arms[:-1]}
    best = sorted(means, key=lambda name: -means[name])[: MOST_ARMS - 1]
    return [name for name in arms[:-1] if name in best] + arms[-1:]


def shown_cases(study: StudyResults, arms: Sequence[str], folder: Path) -> list[ShownCase]:
    """Best, median and worst case of the last arm, then other cases, including unscored ones.

    Args:
        study: The study.
        arms: The result of `shown_arms`.
        folder: The report's folder, which contains `cases/`.
    """
    if not arms:
        return []
    scores = case_dice(study, arms)
    roles = {case: role for role, case in chosen_cases(scores[arms[-1]]).items()}
    pages = {file.stem: file for file in sorted((folder / CASES).glob("*.html"))}
    scored = sorted({case for of_arm in scores.values() for case in of_arm})
    names = {file_name(case): case for case in scored}
    more = [names.get(stem, stem) for stem in pages]
    return [
        ShownCase(
            roles.get(case, ""),
            case,
            tuple(100 * scores[arm][case] if case in scores[arm] else None for arm in arms),
            address(pages[file_name(case)], folder) if file_name(case) in pages else "",
        )
        for case in dict.fromkeys([*roles, *scored, *more])
    ]
