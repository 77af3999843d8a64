"""The list of checks, their execution, and the resulting diagnosis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from spsam.studies.doctor.finding import Check, Examination, Finding
from spsam.studies.doctor.hardware import gpus, machine, torch_build
from spsam.studies.doctor.inputs import checkpoint, data
from spsam.studies.doctor.software import packages, programs, python
from spsam.studies.doctor.steps import steps
from spsam.studies.doctor.stores import mlflow_store, optuna_store

CHECKS: tuple[Check, ...] = (
    python,
    packages,
    machine,
    torch_build,
    gpus,
    mlflow_store,
    optuna_store,
    programs,
    checkpoint,
    data,
    steps,
)
"""In the order in which faults should be fixed: later checks depend on earlier ones."""


@dataclass(frozen=True)
class Diagnosis:
    """The findings of all checks.

    Attributes:
        findings: In the order of the checks.
    """

    findings: tuple[Finding, ...]

    @property
    def wrong(self) -> list[Finding]:
        """The faults, in the order in which they should be fixed."""
        return [finding for finding in self.findings if finding.status == "wrong"]

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values: `healthy`, `mend` (the first fault or null) and `findings`."""
        first = self.wrong[0] if self.wrong else None
        return {
            "healthy": first is None,
            "mend": first and {"check": first.check, "text": first.text, "mend": first.mend},
            "findings": [finding.to_dict() for finding in self.findings],
        }


def examine(
    examined: Examination,
    checks: Sequence[Check] = CHECKS,
    tell: Callable[[Finding], None] = lambda finding: None,
) -> Diagnosis:
    """Runs checks; they write nothing that stays.

    Args:
        examined: What to examine.
        checks: The checks to run.
        tell: Called with each finding as soon as it is available.
    """
    findings: list[Finding] = []
    for check in checks:
        for finding in check(examined):
            findings.append(finding)
            tell(finding)
    return Diagnosis(tuple(findings))
