"""The cases that a page links to, as `spsam view` shows them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from spsam.reporting.chosen_cases import case_dice, chosen_cases
from spsam.reporting.page.facts import address
from spsam.reporting.tables.study import StudyResults
from spsam.text.file_name import file_name

CASES = "cases"
"""The folder of the pages that `spsam view` writes, beside the report's page."""


@dataclass(frozen=True)
class ShownCase:
    """A case on the page.

    Attributes:
        role: `best`, `median`, `worst`; empty for another one that a page was written of.
        case: Its id.
        dice: Mean Dice of its classes in the last arm's first finished run, percent; None where it
            was not scored.
        page: Address relative to the report's page; empty where there is no page.
    """

    role: str
    case: str
    dice: float | None
    page: str


def shown_cases(study: StudyResults, folder: Path) -> list[ShownCase]:
    """Best, median and worst case of the last arm, and every other one that has a page.

    Args:
        study: The study.
        folder: The report's, where `cases/` lies.
    """
    arms = [arm.name for arm in study.measured.arms if study.finished(arm.name)]
    if not arms:
        return []
    scores = case_dice(study, arms[-1:])[arms[-1]]
    roles = {case: role for role, case in chosen_cases(scores).items()}
    pages = {file.stem: file for file in sorted((folder / CASES).glob("*.html"))}
    names = {file_name(case): case for case in scores}
    more = [names.get(stem, stem) for stem in pages]
    return [
        ShownCase(
            roles.get(case, ""),
            case,
            100 * scores[case] if case in scores else None,
            address(pages[file_name(case)], folder) if file_name(case) in pages else "",
        )
        for case in dict.fromkeys([*roles, *more])
    ]
