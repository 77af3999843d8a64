"""From what a user asks for to the runs of an ablation. Planning writes nothing."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spsam.config.identity import run_id
from spsam.config.problems import gather, raise_all
from spsam.config.schema import ArmConfig, DataIdentity, PatchConfig, RunConfig
from spsam.config.study import Study, StudyFile
from spsam.engine.run_spec import NetworkSize, RunSpec
from spsam.errors import InputError, Problem
from spsam.model.sam.backbones import backbone_spec
from spsam.registry.arms import differences
from spsam.registry.files import preset_path
from spsam.registry.protocols import Protocol, find_protocol
from spsam.results.run_folder import RunFolder
from spsam.studies.backend import Backend
from spsam.studies.planning.arm_selection import asked_arms, completed, named_study, without_twins
from spsam.studies.planning.shapes import MadeArm

if TYPE_CHECKING:
    from spsam.data.cases import DataSet
    from spsam.data.plan import Plan
    from spsam.data.split import Split


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


@dataclass(frozen=True)
class PlannedArm:
    """One arm of the ablation.

    Attributes:
        arm: Resolved.
        parent: The arm it is a change of, the nearest that is in the study; None for the first of
            its line.
        diff: What it changes of that, as `registry.arms.differences` gives it.
        size: Parameters of its network.
        plan: Patch size and spacing, on the first fold.
        checkpoint: SAM's weights; None for random ones.
        runs: Every seed's folds, seed by seed.
        levels: Of a factorial study: factor -> the value it has here.
    """

    arm: ArmConfig
    parent: str | None
    diff: Sequence[Mapping[str, Any]]
    size: NetworkSize
    plan: Plan
    checkpoint: Path | None
    runs: Sequence[RunSpec]
    levels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Ablation:
    """A planned ablation.

    Attributes:
        request: What was asked for.
        preset: The preset's name.
        device: Where runs compute.
        dataset: The data.
        splits: Which cases train and which are scored, on every fold.
        arms: In the order of the table.
        study: The study whose shape made the arms; None where they were named.
        dropped: Arms that would have been equal to others, in words.
        protocol: What the preset sets for the data set; None where it has no protocols.
    """

    request: Request
    preset: str
    device: str
    dataset: DataSet
    splits: Mapping[int, Split]
    arms: Sequence[PlannedArm]
    study: Study | None = None
    dropped: Sequence[str] = ()
    protocol: Protocol | None = None

    @property
    def split(self) -> Split:
        """The first fold's."""
        return next(iter(self.splits.values()))

    @property
    def notes(self) -> list[str]:
        """What a user should know of data, splits and arms."""
        of_splits = [note for split in self.splits.values() for note in split.notes]
        return [*dict.fromkeys([*self.dataset.notes, *of_splits, *self.dropped])]

    @property
    def runs(self) -> list[tuple[PlannedArm, RunSpec]]:
        """All runs; every arm's first seed and fold before any arm's second."""
        count = len(self.arms[0].runs)
        return [(arm, arm.runs[index]) for index in range(count) for arm in self.arms]

    @property
    def name(self) -> str:
        """The study's name: what was asked for, and a hash of its runs."""
        made_of = f"{Path(self.request.arms[0]).stem}-" if self.study else ""
        label = self.request.name or f"{made_of}{self.dataset.name}-{self.preset}"
        names = [f"{arm.arm.name}:{run.folder.run_id}" for arm in self.arms for run in arm.runs]
        digest = hashlib.sha256(" ".join(names).encode()).hexdigest()[:8]
        return f"{re.sub(r'[^A-Za-z0-9._-]+', '_', label)}-{digest}"

    @property
    def folder(self) -> Path:
        """Where its tables go."""
        return self.request.home / "ablations" / self.name

    def describe(self) -> dict[str, Any]:
        """The plan as plain values."""
        scored = {case for split in self.splits.values() for case in split.test}
        told: dict[str, Any] = {
            "name": self.name,
            "data": self.arms[0].runs[0].config.data.model_dump(mode="json"),
            # Of several folds those of the first train; all that any of them scores are scored.
            "cases": {
                "train": len(self.split.train),
                "val": len(self.split.val),
                "test": len(scored),
            },
            "notes": self.notes,
            "preset": self.preset,
            "protocol": None if self.protocol is None else self.protocol.describe(),
            "device": self.device,
            "seeds": list(self.request.seeds),
            "folds": [{"fold": fold, "split_hash": s.hash} for fold, s in self.splits.items()],
            "arms": [_describe_arm(arm) for arm in self.arms],
        }
        if self.study is not None:
            told["study"] = {"title": self.study.title, "shape": self.study.shape}
        return told


def plan_ablation(request: Request, backend: Backend | None = None) -> Ablation:
    """Resolves everything that a request names, and counts parameters.

    Raises:
        InputError: With every mistake in arms, overrides, data and split.
    """
    from spsam.data.dataset import open_dataset
    from spsam.data.split import split_cases

    backend = backend or Backend()
    problems: list[Problem] = []
    study: StudyFile | None = None
    arms: list[MadeArm] = []
    with gather(problems):
        study = named_study(request)
    request = completed(request, None if study is None else study.config)
    preset = request.preset or default_preset(request.data)
    known, protocol = not problems, None
    with gather(problems):
        dataset = open_dataset(request.data)
        with gather(problems):
            protocol = protocol_of(preset, dataset)
        usual = None if protocol is None else protocol.split
        options: dict[str, Any] = {"protocol": usual, "validate": request.validate > 0}
        splits = {
            fold: split_cases(dataset, request.split, fold, **options) for fold in request.folds
        }
    if known:
        with gather(problems):
            preset_path(preset)
            arms = asked_arms(request, study, preset, None if protocol is None else protocol.path)
    with gather(problems):
        device = backend.device(request.device)
    raise_all(problems)

    for made in arms:
        with gather(problems):
            backend.check_devices(device, request.devices, made.arm)
    planned: list[PlannedArm] = []
    planner = Planner(request, backend, preset, dataset, splits, device)
    for made in arms:
        with gather(problems):
            arm = planner.arm(made.arm, made.parent)
            planned.append(replace(arm, levels=made.levels))
    raise_all(problems)
    shape = None if study is None else study.config
    dropped: list[str] = []
    if shape is not None and shape.shape != "arms":
        planned, dropped = without_twins(planned, shape)
    return Ablation(
        request=request,
        preset=Path(preset).stem,
        device=device,
        dataset=dataset,
        splits=splits,
        arms=planned,
        study=shape,
        dropped=tuple(dropped),
        protocol=protocol,
    )


def default_preset(data: str) -> str:
    """The schedule of a data set, where none is named."""
    return "demo" if data == "phantom" else "cpu"


def protocol_of(preset: str, dataset: DataSet) -> Protocol | None:
    """What a preset sets for a data set, which may have a name of its own and a published one.

    Raises:
        InputError: If there is no such preset, or its file for the data set is wrong.
    """
    names = (dataset.name, dataset.published)
    return find_protocol(preset, [name for name in names if name is not None])


class Planner:
    """Plans arms; what several share is worked out once.

    Args:
        request: What was asked for.
        backend: The engine.
        preset: The preset's name or path.
        dataset: The data.
        splits: Which cases train and which are scored, on every fold.
        device: Where runs compute.
    """

    def __init__(  # noqa: PLR0917 - what all arms share
        self,
        request: Request,
        backend: Backend,
        preset: str,
        dataset: DataSet,
        splits: Mapping[int, Split],
        device: str,
    ) -> None:
        self.request = request
        self.backend = backend
        self.preset = Path(preset).stem
        self.dataset = dataset
        self.splits = splits
        self.device = device
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
            checkpoint_sha256=self.hashes[checkpoint] if checkpoint else None,
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
        if arm.network != "self_prompt_sam" or arm.backbone.weights == "random":
            return None
        path = self.request.checkpoint or arm.backbone.checkpoint
        if arm.backbone.weights == "shipped":
            path = backbone_spec(arm.backbone.name).shipped_weights
        if path is None:
            raise InputError(
                f"{arm.name} wants official weights of {arm.backbone.name} (backbone.weights: "
                "checkpoint): give --checkpoint PATH, or --set backbone.weights=random"
            )
        path = path.expanduser()
        if not path.is_file():
            raise InputError(Problem("there is no such checkpoint file", path))
        if path not in self.hashes:
            self.hashes[path] = self.backend.file_sha256(path)
        return path


def _describe_arm(planned: PlannedArm) -> dict[str, Any]:
    ids = [run.folder.run_id for run in planned.runs]
    told = {
        "name": planned.arm.name,
        "title": planned.arm.title,
        "parent": planned.parent,
        "diff": [dict(change) for change in planned.diff],
        "run_id": ids[0],
        "run_ids": ids,
        "patch_size": list(planned.plan.patch_size),
        "trained_parameters": planned.size.trained,
        "total_parameters": planned.size.total,
        "parameters": planned.size.blocks,
    }
    return told | ({"levels": dict(planned.levels)} if planned.levels else {})
