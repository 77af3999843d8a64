"""A study of prompts as it is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class PromptRequest:
    """A study of prompts as it is asked for. None leaves a value to the study's file.

    Attributes:
        home: The folder of all results.
        study: The study's file; None takes the shipped one.
        data: Name or folder of a data set; None takes the run's, else the phantom.
        run: A trained run's folder or id; None studies plain SAM.
        compare: Further runs, for the comparison of neighbouring slices.
        prompts: Subsets.
        point: Names of components.
        mask: Forms of the mask prompt.
        source: Names of sources.
        seeds: Of the draws of what is random.
        limit: How many test cases; None for all.
        overrides: Values on top of plain SAM's arm, by dotted key.
        checkpoint: SAM's official weights.
        device: `auto`, `cpu`, `cuda`, `cuda:1`.
        plugins: Folders with components of the user's own.
    """

    home: Path
    study: Path | None = None
    data: str | None = None
    run: str | None = None
    compare: Sequence[str] = ()
    prompts: Sequence[str] | None = None
    point: Sequence[str] | None = None
    mask: Sequence[str] | None = None
    source: Sequence[str] | None = None
    seeds: Sequence[int] | None = None
    limit: int | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    checkpoint: Path | None = None
    device: str = "auto"
    plugins: Sequence[Path] = ()
