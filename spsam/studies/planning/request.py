"""An ablation as it is asked for, completed by its study and by defaults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from spsam.config.study import Study


@dataclass(frozen=True)
class Request:
    """An ablation as it is asked for.

    Attributes:
        arms: Names, ranges (`A1..A9`), lists with commas, paths of YAML files; or one study, by
            its name or its file's path.
        home: The folder of all results.
        data: Name or folder of a data set.
        preset: Name or path of a preset; None takes the study's, else `demo` on the phantom and
            `cpu` elsewhere.
        seeds: One run an arm, seed and fold; none takes the study's, else 0.
        folds: Of the split; none takes the study's, else 0.
        split: Name or path of a split; None takes the protocol's, else the data set's own.
        overrides: Values on top of every arm, by dotted key.
        checkpoint: SAM's official weights; None takes those that an arm names.
        device: `auto`, `cpu`, `cuda`, `cuda:1`.
        workers: Processes that make training patches; None takes the arm's.
        devices: How many of its kind train a run together.
        name: Of the study's folder; None makes one of data and preset.
        plugins: Folders with components of the user's own.
        validate: Epochs between two scores of validation cases; 0: none, and none is held back.
        dry_run: Nothing will be run: official weights may be missing, and count as if they were
            there.
    """

    arms: Sequence[str]
    home: Path
    data: str = "phantom"
    preset: str | None = None
    seeds: Sequence[int] = ()
    folds: Sequence[int] = ()
    split: str | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    checkpoint: Path | None = None
    device: str = "auto"
    workers: int | None = None
    devices: int = 1
    name: str | None = None
    plugins: Sequence[Path] = ()
    validate: int = 0
    dry_run: bool = False

    @property
    def preset_named(self) -> str:
        """The preset that is asked for, or the schedule of its data set where none is."""
        return self.preset or ("demo" if self.data == "phantom" else "cpu")


def completed(request: Request, study: Study | None) -> Request:
    """The request with the study's values where it has none, and defaults where neither has."""
    overrides = {**(study.set if study else {}), **request.overrides}
    if request.checkpoint:
        # Naming a file means using it, unless the user said otherwise.
        overrides.setdefault("backbone.weights", "checkpoint")
    return replace(
        request,
        preset=request.preset or (study.preset if study else None),
        seeds=tuple(request.seeds) or (study.seed_numbers if study else (0,)),
        folds=tuple(request.folds) or (study.folds if study else (0,)),
        overrides=overrides,
    )
