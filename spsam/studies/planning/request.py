"""The request for an ablation, completed with the values of its study and with defaults."""

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
    """A request for an ablation.

    Attributes:
        arms: Names, ranges (`A1..A9`), comma-separated lists and paths of arms; or the name or
            path of one study.
        home: The folder of all results.
        data: Name or folder of a data set.
        preset: Name or path of a preset; None: the study's, or else `demo` for the phantom and
            `cpu` for other data.
        seeds: Each arm has one run per seed and fold; empty: the study's seeds, or else 0.
        folds: Folds of the split; empty: the study's, or else 0.
        split: Name or path of a split; None: the protocol's, or else the data set's own.
        overrides: Values that take precedence in every arm, by dotted key.
        checkpoint: SAM's official weights; None: the file that an arm specifies.
        device: `auto`, `cpu`, `cuda`, `cuda:1`.
        workers: Number of processes that load training patches; None: the arm's.
        devices: Number of devices that train a run together.
        name: Name of the study's folder; None derives one from the data and the preset.
        plugins: Folders with the user's own components.
        validate: Number of epochs between two evaluations of the validation cases, for all arms;
            if the split has no validation cases, some training patients are held out. 0: as each
            arm specifies, and no patients are held out.
        init_from: A trained run, in a form of `spsam.studies.runs.reference.WAYS`, whose blocks
            initialise every arm; None: the usual initialisation.
        externals: Name -> folder with another program's label maps of the test cases.
        reference: The arm that all arms and externals are compared with; None: each arm's base,
            and the first arm for externals.
        dry_run: Whether the runs are only planned. Official weights may then be missing; run ids
            are computed as if they were present.
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
        """The requested preset, or else the default for the data set."""
        return self.preset or ("demo" if self.data == "phantom" else "cpu")


def completed(request: Request, study: Study | None, beside: Path | None = None) -> Request:
    """Adds the study's values and the defaults to a request.

    Args:
        request: The request.
        study: Its study.
        beside: The folder of the study's file, to which the study's paths are relative.

    Raises:
        InputError: If `validate` contradicts an override.
    """
    overrides = {**(study.set if study else {}), **request.overrides}
    if request.checkpoint:
        # A given file is used, unless the user sets other weights explicitly.
        overrides.setdefault("backbone.weights", "checkpoint")
    if request.validate and overrides.setdefault(_EVERY, request.validate) != request.validate:
        raise InputError(
            f"--validate {request.validate}: {_EVERY} is set to {overrides[_EVERY]}; give only one "
            "of them, or the same number for both"
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
