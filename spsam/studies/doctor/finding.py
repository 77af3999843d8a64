"""The input and the result of a check."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Status = Literal["ok", "note", "wrong"]


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        check: The subject of the check, in a word or two.
        status: `ok`; `note`, for information; `wrong`, a fault to fix before work begins.
        text: What was found.
        mend: How to fix it; empty if there is nothing to do.
        facts: The finding as values, for programs.
    """

    check: str
    status: Status
    text: str
    mend: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values."""
        return {**vars(self), "facts": dict(self.facts)}


@dataclass(frozen=True)
class Examination:
    """What to examine.

    Attributes:
        home: The folder of all results.
        arm: The arm for the training steps.
        data: A data set's name or folder; None skips its check.
        checkpoint: A file with SAM's weights; None skips its check.
        storage: Optuna's storage, as for `spsam sweep`; None: the journals in `home`.
    """

    home: Path
    arm: str
    data: str | None = None
    checkpoint: Path | None = None
    storage: str | None = None


Check = Callable[[Examination], Iterable[Finding]]
