"""What a check finds, and what it is given."""

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
        check: What was looked at, a word or two.
        status: `ok`; `note`, worth knowing; `wrong`, to be mended before work begins.
        text: What was found.
        mend: What to do about it; empty where there is nothing to do.
        facts: The same for a program.
    """

    check: str
    status: Status
    text: str
    mend: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {**vars(self), "facts": dict(self.facts)}


@dataclass(frozen=True)
class Examination:
    """What is examined.

    Attributes:
        home: The folder of results.
        arm: The arm whose steps are taken.
        data: A data set's name or folder; None: none is looked at.
        checkpoint: A file of SAM's weights; None: none is looked at.
        storage: Of Optuna, as `spsam sweep` takes it; None: the journal below `home`.
    """

    home: Path
    arm: str
    data: str | None = None
    checkpoint: Path | None = None
    storage: str | None = None


Check = Callable[[Examination], Iterable[Finding]]
