"""Planning of a study's tuning: a sweep for each arm. It writes nothing and uses no test case."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from spsam.config.identity import canonical_json
from spsam.config.problems import gather, places_in, raise_all
from spsam.config.schema import ArmConfig
from spsam.config.study import StudyFile
from spsam.errors import InputError, Problem
from spsam.extras import require
from spsam.registry.arms import ArmLoader
from spsam.studies.backend import Backend
from spsam.studies.planning.inputs import StudyInputs
from spsam.studies.planning.plan import Ablation, PlannedArm
from spsam.studies.planning.planner import PlannedStudy, Planner, plan_without_tuning
from spsam.studies.planning.request import Request
from spsam.studies.planning.shapes import MadeArm
from spsam.studies.planning.space import dimensions
from spsam.studies.planning.validate_choices import validate_choices
from spsam.studies.sweep.plan_sweep import Sweep, SweepRequest
from spsam.studies.sweep.search import search_problems


@dataclass(frozen=True)
class Tuning:
    """The tuning before a study's runs.

    Attributes:
        sweeps: Arm's name -> sweep.
        made: All arms of the study, tuned or not.
        loader: Resolves an arm with the values that its sweep selected.
        planner: Plans the runs of these arms.
        untuned: Ids of the runs without tuning, which identify the study.
        chosen: Arm's name -> selected values; empty until the sweeps have finished.
    """

    sweeps: Mapping[str, Sweep]
    made: Sequence[MadeArm]
    loader: ArmLoader
    planner: Planner
    untuned: Sequence[str]
    chosen: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def done(self) -> bool:
        """Whether the values of every arm are selected."""
        return len(self.chosen) == len(self.sweeps)

    @property
    def trials(self) -> int:
        """The number of trials of all arms."""
        return sum(sweep.trials for sweep in self.sweeps.values())

    @property
    def names(self) -> list[str]:
        """The parts of the study's identity, which tuning does not change."""
        return [*self.untuned, *(f"tune:{sweep.name}" for sweep in self.sweeps.values())]

    def describe(self, arm: str) -> dict[str, Any] | None:
        """Returns an arm's budget and selected values as plain values; None if it is not tuned."""
        if arm not in self.sweeps:
            return None
        sweep = self.sweeps[arm]
        return {
            "sweep": sweep.name,
            "trials": sweep.trials,
            "sampler": sweep.config.sampler.name,
            "space": {dimension.key: dimension.describe() for dimension in sweep.space},
            "validation_cases": len(sweep.context.split.test),
            "values": dict(self.chosen[arm]) if arm in self.chosen else None,
        }


@dataclass(frozen=True)
class TunedAblation(Ablation):
    """An ablation with arms that are tuned before its runs.

    Attributes:
        tuning: The tuning.
    """

    tuning: Tuning = field(kw_only=True)

    @property
    def run_names(self) -> list[str]:
        """The runs without tuning, and the names of the sweeps."""
        return self.tuning.names

    def check_ready(self) -> None:
        """Verifies that the values of every arm are selected.

        Raises:
            ValueError: If they are not; `spsam.studies.tuning.tune.tuned` selects them.
        """
        if not self.tuning.done:
            raise ValueError("the study's arms are not tuned yet")

    def describe_arm(self, arm: PlannedArm) -> dict[str, Any]:
        """Returns an arm as plain values, with its budget and selected values."""
        tuned = self.tuning.describe(arm.arm.name)
        return super().describe_arm(arm) | ({} if tuned is None else {"tuned": tuned})


def tuning_of(ablation: Ablation) -> Tuning | None:
    """Returns the tuning of a study; None if no arm is tuned."""
    return ablation.tuning if isinstance(ablation, TunedAblation) else None


def plan_study(request: Request, backend: Backend | None = None) -> Ablation:
    """Plans an ablation and the tuning of its arms; writes nothing.

    Returns:
        A `TunedAblation` if an arm is tuned.

    Raises:
        InputError: With every problem in arms, overrides, data and split; for a sound study, with
            every problem of its tuning, at its line of the file.
    """
    planned = plan_without_tuning(request, backend)
    tuning = _plan_tuning(planned)
    ablation = planned.ablation
    return ablation if tuning is None else TunedAblation(**vars(ablation), tuning=tuning)


def _plan_tuning(planned: PlannedStudy) -> Tuning | None:
    study, inputs, arms = planned.file, planned.tune_inputs, planned.ablation.arms
    kept = {arm.arm.name for arm in arms}
    tuned = [each for each in planned.made if each.tune is not None and each.arm.name in kept]
    if study is None or inputs is None or not tuned:
        return None
    from spsam.data.split import validation_split

    require("sweep", "a study with 'tune'")
    if len(inputs.splits) > 1:
        raise InputError(
            "tune: expected one fold, since the validation cases of one fold are test cases of "
            f"another; got folds {', '.join(map(str, inputs.splits))}"
        )
    splits = {fold: validation_split(split) for fold, split in inputs.splits.items()}
    problems: list[Problem] = []
    sweeps: dict[str, Sweep] = {}
    scored_on = replace(inputs, splits=splits)
    for each in tuned:
        with gather(problems):
            sweeps[each.arm.name] = _sweep(study, each, scored_on, planned)
    raise_all(problems)
    untuned = planned.ablation.run_names
    return Tuning(sweeps, planned.made, planned.loader, planned.planner, untuned)


def _sweep(study: StudyFile, made: MadeArm, inputs: StudyInputs, planned: PlannedStudy) -> Sweep:
    loader, planner = planned.loader, planned.planner
    assert made.tune is not None
    assert made.file is not None
    tune, file, place = made.tune, made.file, places_in(study.file)
    config = tune.sweep(made.arm.name, f"{study.config.title}: {made.arm.name}")
    problems = search_problems(
        config.sampler,
        config.pruner,
        {key: place((*tune.path, key)) for key in ("sampler", "pruner")},
    )
    places = {key: place((*tune.path, key)) for key in tune.space}
    fixed = {**loader.overrides, **made.values}
    space, found = dimensions(tune.space, fixed, places, tune.section)
    labels = made.arm.model_dump(include={"name", "title", "parent"})

    def load(values: Mapping[str, Any]) -> ArmConfig:
        return loader.load(file, {**made.values, **values}).model_copy(update=labels)

    space, wrong = validate_choices(space, places, tune.section, load)
    raise_all([*problems, *found, *wrong])
    asked = replace(planner.request, seeds=[config.seed])
    of_trials = planner.on(asked, inputs)
    context = Ablation.of(asked, inputs, [of_trials.arm(load({}), None)])
    sweep = Sweep(_request(asked), config, space, context, of_trials, load, of_study=True)
    name = f"tune-{made.arm.name}-{context.dataset.name}-{context.preset}-{_digest(sweep)}"
    return replace(sweep, request=replace(sweep.request, name=name))


def _digest(sweep: Sweep) -> str:
    """Returns a hash of all that the selected values depend on, including the budget."""
    search = sweep.config.model_dump(mode="json", exclude={"title", "arm"})
    told = canonical_json({"signature": sweep.signature(), "search": search})
    return hashlib.sha256(told.encode()).hexdigest()[:8]


def _request(request: Request) -> SweepRequest:
    return SweepRequest(
        space="",
        home=request.home,
        data=request.data,
        preset=request.preset,
        fold=request.folds[0],
        split=request.split,
        overrides=request.overrides,
        checkpoint=request.checkpoint,
        device=request.device,
        plugins=request.plugins,
    )
