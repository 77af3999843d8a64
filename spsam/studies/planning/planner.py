"""From a request to the planned runs of an ablation. Planning writes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from spsam.config.identity import run_id
from spsam.config.problems import gather, raise_all
from spsam.config.schema import ArmConfig, DataIdentity, PatchConfig, RunConfig
from spsam.config.study import StudyFile
from spsam.engine.run_spec import NetworkSize, RunSpec
from spsam.errors import InputError, Problem
from spsam.model.sam.backbones import backbone_spec
from spsam.registry.differences import differences
from spsam.registry.files import hiding_notes
from spsam.registry.networks import uses_sam
from spsam.results.run_folder import RunFolder
from spsam.studies.backend import Backend
from spsam.studies.planning.arm_selection import (
    arm_loader,
    requested_study,
    select_arms,
    without_duplicates,
)
from spsam.studies.planning.inputs import StudyInputs, open_inputs
from spsam.studies.planning.plan import Ablation, PlannedArm
from spsam.studies.planning.request import Request, completed, default_preset
from spsam.studies.planning.shapes import MadeArm

if TYPE_CHECKING:
    from spsam.data.plan import Plan


def plan_ablation(request: Request, backend: Backend | None = None) -> Ablation:
    """Resolves everything that a request names, and counts parameters.

    Raises:
        InputError: With every mistake in arms, overrides, data and split.
    """
    backend = backend or Backend()
    problems: list[Problem] = []
    study: StudyFile | None = None
    inputs: StudyInputs | None = None
    arms: list[MadeArm] = []
    with gather(problems):
        study = requested_study(request)
    request = completed(request, None if study is None else study.config)
    preset, known = request.preset or default_preset(request.data), not problems
    with gather(problems):
        inputs = open_inputs(request, preset, backend, validate=request.validate > 0)
    if known:
        protocol = None if inputs is None or inputs.protocol is None else inputs.protocol.path
        with gather(problems):
            loader = arm_loader(request, preset, protocol)
            arms = select_arms(request, study, loader)
    raise_all(problems)
    assert inputs is not None
    planned = _plan_arms(request, backend, inputs, arms)
    dropped: list[str] = []
    shape = None if study is None else study.config
    if shape is not None and shape.shape != "arms":
        planned, dropped = without_duplicates(planned, shape)
    hiding = hiding_notes([*loader.files, *([] if study is None else [study.file.path])])
    return Ablation.of(request, inputs, planned, study=shape, dropped=tuple(dropped), hiding=hiding)


def _plan_arms(
    request: Request, backend: Backend, inputs: StudyInputs, arms: Sequence[MadeArm]
) -> list[PlannedArm]:
    problems: list[Problem] = []
    for made in arms:
        with gather(problems):
            backend.check_devices(inputs.device, request.devices, made.arm)
    planned: list[PlannedArm] = []
    planner = Planner(request, backend, inputs)
    without = [made.arm for made in arms if planner.lacks_weights(made.arm)]
    problems += missing_weights(without)
    for made in arms:
        if made.arm in without:
            continue
        with gather(problems):
            arm = planner.arm(made.arm, made.parent)
            planned.append(replace(arm, levels=made.levels))
    raise_all(problems)
    return planned


def missing_weights(arms: Sequence[ArmConfig]) -> list[Problem]:
    """A sentence for each SAM whose official weights arms want and nobody names."""
    wanted: dict[str, list[str]] = {}
    for arm in arms:
        wanted.setdefault(arm.backbone.name, []).append(arm.name)
    return [
        Problem(
            f"{', '.join(names)} {'wants' if len(names) == 1 else 'want'} official weights of "
            f"{backbone} (backbone.weights: checkpoint): give --checkpoint FILE or --set "
            f"backbone.weights=random; {backbone_spec(backbone).published}"
        )
        for backbone, names in wanted.items()
    ]


class Planner:
    """Plans arms; what several share is worked out once.

    Args:
        request: What was asked for.
        backend: The engine.
        inputs: What all runs share.
    """

    def __init__(self, request: Request, backend: Backend, inputs: StudyInputs) -> None:
        self.request = request
        self.backend = backend
        self.preset = Path(inputs.preset).stem
        self.dataset = inputs.dataset
        self.splits = inputs.splits
        self.device = inputs.device
        self.plans: dict[tuple[str, int], Plan] = {}
        self.hashes: dict[Path, str] = {}

    def arm(self, arm: ArmConfig, parent: ArmConfig | None) -> PlannedArm:
        """One arm and its runs.

        Raises:
            InputError: If its blocks do not fit together or its weights are missing.
        """
        # What is computed is what a run is known by.
        arm = arm.on(self.device)
        parent = None if parent is None else parent.on(self.device)
        checkpoint = self.checkpoint(arm)
        plan = self.plan(arm.patch, next(iter(self.splits)))
        diff = differences(arm, parent)
        if parent is not None and not diff and parent.parent is None:
            parent = None  # It changes nothing of a root: it is the root under its own name.
        size = self.backend.size(arm, self.dataset, plan)
        runs = [
            self.run(arm, seed, fold, checkpoint, size)
            for seed in self.request.seeds
            for fold in self.splits
        ]
        return PlannedArm(
            arm=arm,
            parent=None if parent is None else parent.name,
            diff=diff,
            size=size,
            plan=plan,
            checkpoint=checkpoint,
            runs=runs,
        )

    def run(
        self, arm: ArmConfig, seed: int, fold: int, checkpoint: Path | None, size: NetworkSize
    ) -> RunSpec:
        """The arm with one seed on one fold."""
        from spsam.data.plan import VERSION

        dataset, split, workers = self.dataset, self.splits[fold], self.request.workers
        config = RunConfig(
            arm=arm,
            preset=self.preset,
            data=DataIdentity(
                name=dataset.name,
                fingerprint=dataset.fingerprint,
                split_name=split.name,
                split_hash=split.hash,
                fold=fold,
                num_classes=dataset.num_classes,
                class_names=dataset.class_names,
                in_channels=dataset.in_channels,
                preparation=VERSION[dataset.modality],
            ),
            seed=seed,
            checkpoint_sha256=self.hashes[checkpoint] if checkpoint else self._hash_to_be(arm),
        )
        return RunSpec(
            config=config,
            folder=RunFolder(self.request.home, run_id(config)),
            dataset=dataset,
            split=split,
            plan=self.plan(arm.patch, fold),
            checkpoint=checkpoint,
            size=size,
            device=self.device,
            workers=arm.train.workers if workers is None else workers,
            devices=self.request.devices,
            validate_every=self.request.validate,
        )

    def plan(self, patch: PatchConfig, fold: int) -> Plan:
        """Patch size and spacing."""
        from spsam.data.plan import plan

        key = patch.model_dump_json(), fold
        if key not in self.plans:
            self.plans[key] = plan(self.dataset, self.splits[fold].train, **patch.model_dump())
        return self.plans[key]

    def checkpoint(self, arm: ArmConfig) -> Path | None:
        """SAM's weights, if the arm takes any; their hash is kept."""
        if not uses_sam(arm) or arm.backbone.weights == "random":
            return None
        spec = backbone_spec(arm.backbone.name)
        path = self.request.checkpoint or arm.backbone.checkpoint
        if arm.backbone.weights == "shipped":
            path = spec.shipped_weights
        if path is None and self._hash_to_be(arm):
            return None
        raise_all(missing_weights([arm] if self.lacks_weights(arm) else []))
        assert path is not None
        path = path.expanduser()
        if not path.is_file():
            message = f"there is no such checkpoint file; {spec.published}"
            raise InputError(Problem(message, path))
        if path not in self.hashes:
            self.hashes[path] = self.backend.file_sha256(path)
        return path

    def lacks_weights(self, arm: ArmConfig) -> bool:
        """Whether an arm wants a file of weights that nobody names."""
        wanted = arm.backbone.weights == "checkpoint" and uses_sam(arm)
        named = self.request.checkpoint or arm.backbone.checkpoint
        return wanted and named is None and not self._hash_to_be(arm)

    def _hash_to_be(self, arm: ArmConfig) -> str | None:
        """In a dry run without a file, the hash of the official weights that a run would want."""
        wanted = arm.backbone.weights == "checkpoint" and uses_sam(arm)
        missing = (self.request.checkpoint or arm.backbone.checkpoint) is None
        dry = self.request.dry_run
        return backbone_spec(arm.backbone.name).sha256 if dry and wanted and missing else None
