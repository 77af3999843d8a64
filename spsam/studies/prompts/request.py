"""The request for a prompt study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class PromptRequest:
    """A request for a prompt study. None uses the value of the study's file.

    Attributes:
        home: The folder of all results.
        study: The study's file; None: the shipped one.
        data: Name or folder of a data set; None: the run's, or else the phantom.
        run: A trained run's folder or id; None: plain SAM.
        compare: Further runs whose agreement of adjacent slices is compared.
        prompts: Subsets of point, box and mask.
        point: Names of point strategies.
        mask: Forms of the mask prompt.
        source: Names of sources.
        seeds: Seeds of random prompts.
        limit: Number of test cases; None for all.
        overrides: Values that take precedence in plain SAM's arm, by dotted key.
        checkpoint: SAM's official weights.
        device: `auto`, `cpu`, `cuda`, `cuda:1`.
        plugins: Folders with the user's own components.
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
