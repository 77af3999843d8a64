"""Planning of an ablation's runs from a request; planning writes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from spsam.config.identity import run_id
from spsam.config.problems import gather, raise_all
from spsam.config.schema import ArmConfig, PatchConfig, RunConfig
from spsam.config.study import Study, StudyFile
from spsam.config.yaml_file import YamlFile
from spsam.engine.run_spec import NetworkSize, RunSpec
from spsam.errors import InputError, Problem
from spsam.registry.arms import ArmLoader
from spsam.registry.catalogue import Catalogue
from spsam.registry.differences import differences
from spsam.registry.files import hiding_notes
from spsam.registry.protocols import read_preset
from spsam.results.run_folder import RunFolder
from spsam.studies.backend import Backend
from spsam.studies.planning.arm_selection import select_arms
from spsam.studies.planning.external import PlannedExternal, external_rows
from spsam.studies.planning.initial import InitialRuns
from spsam.studies.planning.inputs import StudyInputs, open_inputs
from spsam.studies.planning.plan import Ablation, PlannedArm
from spsam.studies.planning.recipes import against, by_recipes
from spsam.studies.planning.request import Request, completed
from spsam.studies.planning.shapes import MadeArm, make_arms
from spsam.studies.planning.weights import ArmWeights, WeightFiles

if TYPE_CHECKING:
    from spsam.data.plan import Plan
    from spsam.engine.initial import InitialBlocks

_NETWORK = {"network", "blocks", "adapter_placement", "backbone", "plugins"}
"""The sections of an arm that determine its network."""


@dataclass(frozen=True)
class PlannedStudy:
    """A planned ablation, with what the planning of its tuning needs.

    Attributes:
        ablation: The ablation without its tuning.
        file: The study's file; None if the request lists arms.
        made: The arms, with those that equal an earlier one.
        loader: The loader that resolved the arms.
        planner: Plans the runs of these arms.
        tune_inputs: Inputs whose split has validation cases; None if no arm is tuned.
    """

    ablation: Ablation
    file: StudyFile | None
    made: Sequence[MadeArm]
    loader: ArmLoader
    planner: Planner
    tune_inputs: StudyInputs | None


def plan_ablation(request: Request, backend: Backend | None = None) -> Ablation:
    """Plans an ablation without tuning; `spsam.studies.tuning.plan.plan_study` plans any study.

    Raises:
        InputError: With every problem in arms, overrides, data and split, or if arms are tuned.
    """
    planned = plan_without_tuning(request, backend)
    if planned.tune_inputs is not None:
        raise InputError(
            f"{', '.join(map(str, request.arms))}: expected arms, got a study that tunes its arms; "
            "name one of its arms instead"
        )
    return planned.ablation


def plan_without_tuning(request: Request, backend: Backend | None = None) -> PlannedStudy:
    """Reads the files, resolves the arms, and determines their runs.

    Raises:
        InputError: With every problem in arms, overrides, data and split.
    """
    backend = backend or Backend()
    problems: list[Problem] = []
    of_arms: list[Problem] = []
    selection = select_arms(request.arms, of_arms)
    study = None if selection.study is None else selection.study.config
    beside = None if selection.study is None else selection.study.file.path.parent
    request = completed(request, study, beside)
    preset: YamlFile | None = None
    inputs: StudyInputs | None = None
    tune_inputs: StudyInputs | None = None
    catalogue: Catalogue | None = None
    made: list[MadeArm] = []
    with gather(problems):
        preset = read_preset(request.preset_named)
    with gather(of_arms):
        catalogue = Catalogue.load(request.plugins)
    with gather(problems):
        inputs = open_inputs(request, preset, backend, validate=request.validate > 0)
        if study is not None and study.tunes:
            tune_inputs = open_inputs(request, preset, backend, validate=True)
    protocol = None if inputs is None or inputs.protocol is None else inputs.protocol.file
    if catalogue is not None and selection.arms:
        loader = ArmLoader(catalogue, request.overrides, preset=preset, protocol=protocol)
        with gather(of_arms):
            made = by_recipes(selection.study, make_arms(selection, loader), loader)
            made = against(request.reference, made)
    externals: list[PlannedExternal] = []
    if inputs is not None and made:
        with gather(problems):
            externals = external_rows(request, inputs, [each.arm for each in made])
    raise_all([*problems, *of_arms])
    assert catalogue is not None
    assert inputs is not None
    planner = Planner(request, inputs, catalogue, backend)
    planned = _plan_arms(made, planner)
    dropped: list[str] = []
    if study is not None and study.shape != "arms":
        planned, dropped = _without_duplicates(planned, study)
    layers = [file.path for file in (preset, protocol) if file is not None]
    hiding = hiding_notes([*selection.files, *layers])
    ablation = Ablation.of(
        request,
        inputs,
        planned,
        study=study,
        dropped=dropped,
        hiding=hiding,
        externals=externals,
    )
    return PlannedStudy(ablation, selection.study, made, loader, planner, tune_inputs)


def _plan_arms(made: Sequence[MadeArm], planner: Planner) -> list[PlannedArm]:
    problems: list[Problem] = []
    for each in made:
        with gather(problems):
            planner.check_devices(each.arm)
    problems += planner.weights.missing([each.arm for each in made])
    planned: list[PlannedArm] = []
    for each in made:
        if planner.weights.missing([each.arm]):
            continue
        with gather(problems):
            arm = planner.arm(each.arm, each.parent)
            planned.append(replace(arm, levels=each.levels, recipe=each.recipe))
    raise_all(problems)
    return planned


def _without_duplicates(
    arms: Sequence[PlannedArm], study: Study
) -> tuple[list[PlannedArm], list[str]]:
    """Removes arms that equal an earlier one; returns the others, and messages about these.

    Raises:
        InputError: If two cells of a factorial study are equal, since its effects are undefined.
    """
    first: dict[str, str] = {}
    kept, dropped = [], []
    for planned in arms:
        twin = first.setdefault(planned.runs[0].folder.run_id, planned.arm.name)
        if twin == planned.arm.name:
            kept.append(planned)
        else:
            dropped.append(f"{planned.arm.name} is omitted: it is equal to {twin}")
    if study.shape == "factorial":
        raise_all(Problem(f"{said}; give each factor different values") for said in dropped)
    return kept, dropped


class Planner:
    """Plans arms, and caches what several arms share.

    Args:
        request: The completed request.
        inputs: The inputs that all runs share.
        catalogue: The components.
        backend: The engine.
        sizes: Sizes of networks that another planner has counted; shared with it.

    Attributes:
        weights: The files of SAM's weights.
    """

    def __init__(
        self,
        request: Request,
        inputs: StudyInputs,
        catalogue: Catalogue,
        backend: Backend,
        sizes: dict[tuple[Any, ...], NetworkSize] | None = None,
    ) -> None:
        self.weights = WeightFiles(
            request.checkpoint,
            catalogue,
            dry_run=request.dry_run,
            file_sha256=backend.file_sha256,
        )
        self._request = request
        self._inputs = inputs
        self._catalogue = catalogue
        self._backend = backend
        self._plans: dict[tuple[str, int], Plan] = {}
        self._sizes = {} if sizes is None else sizes
        word = request.init_from
        self._initial = None if word is None else InitialRuns(word, request.home, request.plugins)

    @property
    def request(self) -> Request:
        """The completed request."""
        return self._request

    def on(self, request: Request, inputs: StudyInputs) -> Planner:
        """Returns a planner with the same components for another request and other splits."""
        return Planner(request, inputs, self._catalogue, self._backend, self._sizes)

    def check_devices(self, arm: ArmConfig) -> None:
        """Checks that the requested number of devices can share the arm's batch.

        Raises:
            InputError: If they cannot.
        """
        self._backend.check_devices(self._inputs.device, self._request.devices, arm)

    def arm(self, arm: ArmConfig, parent: ArmConfig | None) -> PlannedArm:
        """Plans one arm and its runs.

        Raises:
            InputError: If its blocks do not fit together, its weights are missing, the data set
                lacks its classes or validation cases, or it cannot be initialised with the
                requested run.
        """
        self._inputs.check_classes(arm)
        self._inputs.check_validation(arm)
        # The run id depends on the settings that the device really uses.
        arm = arm.on(self._inputs.device)
        parent = None if parent is None else parent.on(self._inputs.device)
        weights = self.weights.of(arm)
        plans = {fold: self._plan(arm.patch, fold) for fold in self._inputs.splits}
        plan = next(iter(plans.values()))
        diff = differences(arm, parent, self._catalogue)
        if parent is not None and not diff and parent.parent is None:
            parent = None  # No change to a root: the arm is the root under another name.
        if parent is not None:
            # Of several bases, record the one that the arm is compared with in this study.
            arm = arm.model_copy(update={"parent": parent.name})
        size = self._size(arm, plan)
        initial = self._initial
        taken = {
            fold: None
            if initial is None
            else initial.of(arm, fold, each, self._inputs, self._backend)
            for fold, each in plans.items()
        }
        return PlannedArm(
            arm=arm,
            base=None if parent is None else parent.name,
            diff=diff,
            size=size,
            plan=plan,
            checkpoint=weights.file,
            runs=[
                self._run(arm, seed, fold, plans[fold], weights, size, taken[fold])
                for seed in self._request.seeds
                for fold in plans
            ],
        )

    def _run(  # noqa: PLR0917 - the parts of one run of an arm
        self,
        arm: ArmConfig,
        seed: int,
        fold: int,
        plan: Plan,
        weights: ArmWeights,
        size: NetworkSize,
        initial: InitialBlocks | None,
    ) -> RunSpec:
        """Returns the run of an arm with one seed on one fold."""
        request, dataset, split = self._request, self._inputs.dataset, self._inputs.splits[fold]
        config = RunConfig(
            arm=arm,
            preset=self._inputs.preset,
            data=self._inputs.identity(fold),
            seed=seed,
            checkpoint_sha256=weights.sha256,
            initial_sha256=None if initial is None else initial.sha256,
        )
        return RunSpec(
            config=config,
            folder=RunFolder(request.home, run_id(config)),
            dataset=dataset,
            split=split,
            plan=plan,
            checkpoint=weights.file,
            size=size,
            device=self._inputs.device,
            workers=arm.train.workers if request.workers is None else request.workers,
            devices=request.devices,
            initial=initial,
        )

    def _size(self, arm: ArmConfig, plan: Plan) -> NetworkSize:
        """Returns the numbers of parameters of an arm's network; recipes of one network share them.

        Raises:
            InputError: If the arm's blocks do not fit together.
        """
        key = arm.model_dump_json(include=_NETWORK), plan.patch_size, plan.spacing
        if key not in self._sizes:
            self._sizes[key] = self._backend.size(arm, self._inputs.dataset, plan)
        return self._sizes[key]

    def _plan(self, patch: PatchConfig, fold: int) -> Plan:
        """Returns the plan of a fold's training cases."""
        from spsam.data.plan import plan

        key = patch.model_dump_json(), fold
        if key not in self._plans:
            cases = self._inputs.splits[fold].train
            self._plans[key] = plan(self._inputs.dataset, cases, **patch.model_dump())
        return self._plans[key]
