"""Planning of a sweep from its file; planning writes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from spsam.config.problems import Place, gather, raise_all
from spsam.config.schema import ArmConfig
from spsam.config.sweep import SweepConfig, load_sweep
from spsam.config.yaml_file import YamlFile
from spsam.errors import InputError, Problem
from spsam.registry.arm_file import ArmFile, read_arm_file
from spsam.registry.arms import ArmLoader
from spsam.registry.catalogue import Catalogue
from spsam.registry.files import arm_file, hiding_notes, named_file
from spsam.registry.protocols import read_preset
from spsam.studies.backend import Backend
from spsam.studies.planning.arm_selection import at_name
from spsam.studies.planning.inputs import StudyInputs, open_inputs
from spsam.studies.planning.plan import Ablation, PlannedArm
from spsam.studies.planning.planner import Planner
from spsam.studies.planning.request import Request
from spsam.studies.planning.space import Dimension, dimensions, overrides
from spsam.studies.planning.validate_choices import Load, at_set, validate_choices, value_of
from spsam.studies.sweep.address import shown_storage
from spsam.studies.sweep.search import search_problems
from spsam.text.file_name import file_name


@dataclass(frozen=True)
class SweepRequest:
    """A request for a sweep.

    Attributes:
        space: Name or path of the sweep's file.
        home: The folder of all results.
        data: Name or folder of a data set.
        preset: Name or path of a preset; None: the one in the sweep's file.
        fold: Fold of the split.
        split: Name or path of a split; None: the data set's own.
        overrides: Values of every trial, by dotted key.
        checkpoint: SAM's official weights; None: the file that the arm specifies.
        init_from: A trained run whose blocks initialise every trial; None: the usual
            initialisation.
        device: `auto`, `cpu`, `cuda`, `cuda:1`.
        trials: Total number of trials, including those of earlier calls; None: as in the file.
        jobs: Number of processes that run trials.
        storage: Path of a journal file or URL of a database; None: a journal in the sweep's folder.
        name: Name of the sweep; None derives one from file, data and preset.
        plugins: Folders with the user's own components.
    """

    space: str
    home: Path
    data: str = "phantom"
    preset: str | None = None
    fold: int = 0
    split: str | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    checkpoint: Path | None = None
    init_from: str | None = None
    device: str = "auto"
    trials: int | None = None
    jobs: int = 1
    storage: str | None = None
    name: str | None = None
    plugins: Sequence[Path] = ()


@dataclass(frozen=True)
class Sweep:
    """A planned sweep.

    Attributes:
        request: The request.
        config: The content of the sweep's file.
        space: The search space.
        context: The unchanged arm, the data and the validation split, as an ablation of this arm;
            trials are planned and executed like its runs.
        planner: Plans the trials.
        load: Resolves the arm with a trial's values.
        of_study: Whether it is the tuning of a study, which itself runs the best values.
    """

    request: SweepRequest
    config: SweepConfig
    space: Sequence[Dimension]
    context: Ablation
    planner: Planner
    load: Load
    of_study: bool = False

    @property
    def base(self) -> PlannedArm:
        """The arm that all trials modify."""
        return self.context.arms[0]

    @property
    def trials(self) -> int:
        """The total number of trials."""
        return self.request.trials or self.config.trials

    @property
    def name(self) -> str:
        """The name of the Optuna study and of the sweep's folder."""
        stem = Path(self.request.space).stem
        label = self.request.name or f"{stem}-{self.context.dataset.name}-{self.context.preset}"
        return file_name(label)

    @property
    def folder(self) -> Path:
        """The sweep's folder, which contains everything except the trials' runs."""
        return self.request.home / "sweeps" / self.name

    def start(self) -> dict[str, Any] | None:
        """Returns the arm's own values as parameters; None if the space does not contain them."""
        arm, params = self.base.arm, {}
        for dimension in self.space:
            if (
                dimension.needs is not None
                and value_of(arm, dimension.needs[0]) != dimension.needs[1]
            ):
                continue
            value = value_of(arm, dimension.path)
            if not dimension.holds(value):
                return None
            params[dimension.key] = dimension.named(value)
        trial = self.plan_trial(0, overrides(self.space, params))
        same = trial.runs[0].folder.run_id == self.base.runs[0].folder.run_id
        return params if same else None

    def plan_trial(self, number: int, values: Mapping[str, Any]) -> PlannedArm:
        """Plans the arm of a trial, with its single run.

        Raises:
            InputError: If the values do not fit together.
        """
        arm = self.load(values)
        labels = {"name": f"{self.name}-{number}", "title": f"trial {number}"}
        labels |= {"parent": self.base.arm.name}
        return self.planner.arm(arm.model_copy(update=labels), self.base.arm)

    def signature(self) -> dict[str, Any]:
        """Returns what must be the same to continue a sweep, so that its trials are comparable."""
        base = self.base.runs[0]
        return {
            "arm, preset, data or fixed values": base.folder.run_id,
            "objectives": list(self.config.objectives),
            "pruned by": self.config.prune_by if self.config.pruner.name != "none" else None,
            **{f"space.{dimension.key}": dimension.describe() for dimension in self.space},
        }

    def describe(self) -> dict[str, Any]:
        """Returns the plan as plain values."""
        split = self.context.split
        return {
            "name": self.name,
            "title": self.config.title,
            "arm": self.config.arm,
            "preset": self.context.preset,
            "data": self.base.runs[0].config.data.model_dump(mode="json"),
            "cases": {"train": len(split.train), "scored": len(split.test)},
            "notes": [*self.context.hiding, *self.context.dataset.notes, *split.notes],
            "device": self.context.device,
            "weights": None if self.base.weights is None else self.base.weights.to_dict(),
            "space": {dimension.key: dimension.describe() for dimension in self.space},
            "objectives": list(self.config.objectives),
            "sampler": self.config.sampler.model_dump(mode="json"),
            "pruner": self.config.pruner.model_dump(mode="json"),
            "trials": self.trials,
            "jobs": self.request.jobs,
            "storage": shown_storage(self.request.storage, self.folder),
            "base_run_id": self.base.runs[0].folder.run_id,
            "base_trained_parameters": self.base.size.trained,
        }


def plan_sweep(request: SweepRequest, backend: Backend | None = None) -> Sweep:
    """Plans a sweep; tries every choice and both ends of every range on the arm.

    Raises:
        InputError: With every problem, at its line of the file.
    """
    from spsam.data.split import validation_split

    backend = backend or Backend()
    problems: list[Problem] = []
    config, file = load_sweep(sweep_path(request.space))
    places = {key: Place(file.path, file.line((key,))) for key in ("sampler", "pruner", "arm")}
    problems += search_problems(config.sampler, config.pruner, places)
    asked = _as_ablation(request, config)
    catalogue = Catalogue.load(request.plugins)
    preset: YamlFile | None = None
    inputs: StudyInputs | None = None
    with gather(problems):
        preset = read_preset(asked.preset_named)
    with gather(problems):
        inputs = open_inputs(asked, preset, backend, validate=True)
        splits = {fold: validation_split(split) for fold, split in inputs.splits.items()}
        inputs = replace(inputs, splits=splits)
    fixed = {**config.set, **request.overrides}
    weights = {"backbone.weights": "checkpoint"} if request.checkpoint else {}
    protocol = None if inputs is None or inputs.protocol is None else inputs.protocol.file
    loader = ArmLoader(catalogue, {**weights, **fixed}, preset=preset, protocol=protocol)
    arm: ArmFile | None = None
    of_arm: list[Problem] = []
    with gather(of_arm):
        arm = read_arm_file(arm_file(config.arm))
    of_arm = [at_name(problem, file, ("arm",)) for problem in of_arm]

    def load(values: Mapping[str, Any]) -> ArmConfig:
        if arm is None:
            raise InputError(of_arm)
        return loader.load(arm, values)

    if problems:
        _check_space(config, fixed, load, file, None, problems)
        raise_all(problems)
    assert inputs is not None
    planner = Planner(asked, inputs, catalogue, backend)
    with gather(problems):
        base = planner.arm(load({}), None)
    # If the arm itself has problems, planning it with every value would only repeat them.
    space = _check_space(config, fixed, load, file, None if problems else planner, problems)
    raise_all(problems)
    assert arm is not None
    layers = [layer.path for layer in (*arm.files, preset, protocol) if layer is not None]
    hiding = hiding_notes([file.path, *layers])
    context = Ablation.of(asked, inputs, [base], hiding=hiding)
    return Sweep(request, config, space, context, planner, load)


def _as_ablation(request: SweepRequest, config: SweepConfig) -> Request:
    """Returns the request for an ablation of the sweep's unchanged arm."""
    return Request(
        arms=[config.arm],
        home=request.home,
        data=request.data,
        preset=request.preset or config.preset,
        seeds=[config.seed],
        folds=[request.fold],
        split=request.split,
        checkpoint=request.checkpoint,
        init_from=request.init_from,
        device=request.device,
        plugins=request.plugins,
    )


def sweep_path(name_or_path: str) -> Path:
    """Returns the file of a sweep, by its path or its name in ablations/sweeps.

    Raises:
        InputError: If there is none.
    """
    return named_file(name_or_path, "sweeps", "sweep")


def _check_space(  # noqa: PLR0917 - the parts of the check
    config: SweepConfig,
    fixed: Mapping[str, Any],
    load: Load,
    file: YamlFile,
    planner: Planner | None,
    problems: list[Problem],
) -> list[Dimension]:
    """Returns the dimensions; problems are added to `problems`."""
    places = {key: Place(file.path, file.line(("space", key))) for key in config.space}
    space, found = dimensions(config.space, fixed, places)
    problems += found
    known: list[Problem] = []
    with gather(known):
        load({})
    problems += [at_set(problem, file) for problem in known]

    def planned(values: Mapping[str, Any]) -> ArmConfig:
        arm = load(values)
        if planner is not None and not known:
            planner.arm(arm, None)
        return arm

    space, found = validate_choices(space, places, "space", planned, known)
    problems += found
    return space
