"""An ablation as it is asked for, completed by its study and by defaults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from spsam.config.study import Study
from spsam.errors import InputError

_EVERY = "train.validate_every"


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
        validate: Epochs between two scores of validation cases, for all arms; where the split has
            none, some are held back. 0: as each arm has it, and none is held back.
        init_from: A trained run, as `spsam.studies.runs.reference.WAYS` has it, with whose blocks
            every arm begins; None: as usual.
        externals: Name -> folder of label maps that another program made of the test cases.
        reference: The arm that all others, externals too, are compared with; None: each arm with
            its base, externals with the first arm.
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
    init_from: str | None = None
    externals: Mapping[str, Path] = field(default_factory=dict)
    reference: str | None = None
    dry_run: bool = False

    @property
    def preset_named(self) -> str:
        """The preset that is asked for, or the schedule of its data set where none is."""
        return self.preset or ("demo" if self.data == "phantom" else "cpu")


def completed(request: Request, study: Study | None, beside: Path | None = None) -> Request:
    """The request with the study's values where it has none, and defaults where neither has.

    Args:
        request: As it was asked for.
        study: Its study.
        beside: The folder of the study's file, where the study's paths start.

    Raises:
        InputError: If `validate` contradicts an override.
    """
    overrides = {**(study.set if study else {}), **request.overrides}
    if request.checkpoint:
        # Naming a file means using it, unless the user said otherwise.
        overrides.setdefault("backbone.weights", "checkpoint")
    if request.validate and overrides.setdefault(_EVERY, request.validate) != request.validate:
        raise InputError(
            f"--validate {request.validate}: {_EVERY} is set to {overrides[_EVERY]}; give one of "
            "them, or both the same number"
        )
    externals = {
        name: folder if beside is None else beside / folder
        for name, folder in (study.external if study else {}).items()
    }
    return replace(
        request,
        preset=request.preset or (study.preset if study else None),
        seeds=tuple(request.seeds) or (study.seed_numbers if study else (0,)),
        folds=tuple(request.folds) or (study.folds if study else (0,)),
        overrides=overrides,
        externals={**externals, **request.externals},
        reference=request.reference or (study.reference if study else None),
    )
