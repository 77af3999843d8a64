"""From what a user asks for to the runs of an ablation. Planning writes nothing."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spsam.config.identity import run_id
from spsam.config.problems import gather, raise_all
from spsam.config.schema import ArmConfig, DataIdentity, PatchConfig, RunConfig
from spsam.errors import InputError, Problem
from spsam.model.sam.backbones import backbone_spec
from spsam.registry.arms import differences, expand, load_arm, load_parent, preset_path
from spsam.results.run_folder import RunFolder
from spsam.studies.backend import Backend, Size

if TYPE_CHECKING:
    from spsam.data.cases import DataSet
    from spsam.data.plan import Plan
    from spsam.data.split import Split


@dataclass(frozen=True)
class Request:
    """An ablation as it is asked for.

    Attributes:
        arms: Names, ranges (`A1..A9`), lists with commas, paths of YAML files.
        home: The folder of all results.
        data: Name or folder of a data set.
        preset: Name or path of a preset; None takes `demo` on the phantom, `cpu` elsewhere.
        seeds: One run an arm and seed.
        fold: Of the split.
        split: Name or path of a split; None takes the data set's own.
        overrides: Values on top of every arm, by dotted key.
        checkpoint: SAM's official weights; None takes those that an arm names.
        device: `auto`, `cpu`, `cuda`, `cuda:1`.
        workers: Processes that make training patches; None takes the arm's.
        devices: How many of its kind train a run together.
        name: Of the study's folder; None makes one of data and preset.
        plugins: Folders with components of the user's own.
    """

    arms: Sequence[str]
    home: Path
    data: str = "phantom"
    preset: str | None = None
    seeds: Sequence[int] = (0,)
    fold: int = 0
    split: str | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    checkpoint: Path | None = None
    device: str = "auto"
    workers: int | None = None
    devices: int = 1
    name: str | None = None
    plugins: Sequence[Path] = ()


@dataclass(frozen=True)
class PlannedRun:
    """One arm with one seed.

    Attributes:
        config: Everything that the run depends on.
        folder: Where it is, or will be.
    """

    config: RunConfig
    folder: RunFolder


@dataclass(frozen=True)
class PlannedArm:
    """One arm of the ablation.

    Attributes:
        arm: Resolved.
        parent: The arm it is a change of; None for the first of its line.
        diff: What it changes, as `registry.arms.differences` gives it.
        size: Parameters of its network.
        plan: Patch size and spacing.
        checkpoint: SAM's weights; None for random ones.
        runs: One a seed.
    """

    arm: ArmConfig
    parent: str | None
    diff: Sequence[Mapping[str, Any]]
    size: Size
    plan: Plan
    checkpoint: Path | None
    runs: Sequence[PlannedRun]


@dataclass(frozen=True)
class Ablation:
    """A planned ablation.

    Attributes:
        request: What was asked for.
        preset: The preset's name.
        device: Where runs compute.
        dataset: The data.
        split: Which cases train and which are scored.
        arms: In the order of the table.
    """

    request: Request
    preset: str
    device: str
    dataset: DataSet
    split: Split
    arms: Sequence[PlannedArm]

    @property
    def runs(self) -> list[tuple[PlannedArm, PlannedRun]]:
        """All runs; every arm's first seed before any arm's second."""
        count = len(self.request.seeds)
        return [(arm, arm.runs[index]) for index in range(count) for arm in self.arms]

    @property
    def name(self) -> str:
        """The study's name: what was asked for, and a hash of its runs."""
        label = self.request.name or f"{self.dataset.name}-{self.preset}"
        names = [f"{arm.arm.name}:{run.folder.run_id}" for arm in self.arms for run in arm.runs]
        digest = hashlib.sha256(" ".join(names).encode()).hexdigest()[:8]
        return f"{re.sub(r'[^A-Za-z0-9._-]+', '_', label)}-{digest}"

    @property
    def folder(self) -> Path:
        """Where its tables go."""
        return self.request.home / "ablations" / self.name

    def describe(self) -> dict[str, Any]:
        """The plan as plain values."""
        return {
            "name": self.name,
            "data": self.arms[0].runs[0].config.data.model_dump(mode="json"),
            "cases": {part: len(getattr(self.split, part)) for part in ("train", "val", "test")},
            "notes": [*self.dataset.notes, *self.split.notes],
            "preset": self.preset,
            "device": self.device,
            "seeds": list(self.request.seeds),
            "arms": [_describe_arm(arm) for arm in self.arms],
        }


def plan_ablation(request: Request, backend: Backend | None = None) -> Ablation:
    """Resolves everything that a request names, and counts parameters.

    Raises:
        InputError: With every mistake in arms, overrides, data and split.
    """
    from spsam.data.dataset import open_dataset
    from spsam.data.split import split_cases

    backend = backend or Backend()
    problems: list[Problem] = []
    arms: list[tuple[ArmConfig, ArmConfig | None]] = []
    preset = request.preset or default_preset(request.data)
    with gather(problems):
        preset_path(preset)
        arms = _load_arms(request, preset)
    with gather(problems):
        device = backend.device(request.device)
    with gather(problems):
        dataset = open_dataset(request.data)
        split = split_cases(dataset, request.split, request.fold)
    raise_all(problems)

    for arm, _ in arms:
        with gather(problems):
            backend.check_devices(device, request.devices, arm)
    planned: list[PlannedArm] = []
    planner = Planner(request, backend, preset, dataset, split)
    for arm, parent in arms:
        with gather(problems):
            planned.append(planner.arm(arm, parent))
    raise_all(problems)
    return Ablation(request, Path(preset).stem, device, dataset, split, planned)


def default_preset(data: str) -> str:
    """The schedule of a data set, where none is named."""
    return "demo" if data == "phantom" else "cpu"


class Planner:
    """Plans arms; what several share is worked out once.

    Args:
        request: What was asked for.
        backend: The engine.
        preset: The preset's name or path.
        dataset: The data.
        split: Which cases train and which are scored.
    """

    def __init__(
        self, request: Request, backend: Backend, preset: str, dataset: DataSet, split: Split
    ) -> None:
        self.request = request
        self.backend = backend
        self.preset = Path(preset).stem
        self.dataset = dataset
        self.split = split
        self.plans: dict[str, Plan] = {}
        self.hashes: dict[Path, str] = {}

    def arm(self, arm: ArmConfig, parent: ArmConfig | None) -> PlannedArm:
        """One arm and its runs.

        Raises:
            InputError: If its blocks do not fit together or its weights are missing.
        """
        checkpoint = self.checkpoint(arm)
        plan = self.plan(arm.patch)
        diff = differences(arm, parent)
        # An arm that changes nothing of a root is the root under its own name.
        first = parent is None or (not diff and parent.parent is None)
        sha256 = self.hashes[checkpoint] if checkpoint else None
        return PlannedArm(
            arm=arm,
            parent=None if first else arm.parent,
            diff=diff,
            size=self.backend.size(arm, self.dataset, plan),
            plan=plan,
            checkpoint=checkpoint,
            runs=[self.run(arm, seed, sha256) for seed in self.request.seeds],
        )

    def run(self, arm: ArmConfig, seed: int, sha256: str | None) -> PlannedRun:
        """The arm with one seed; `sha256` is that of its weights."""
        dataset, split = self.dataset, self.split
        config = RunConfig(
            arm=arm,
            preset=self.preset,
            data=DataIdentity(
                name=dataset.name,
                fingerprint=dataset.fingerprint,
                split_name=split.name,
                split_hash=split.hash,
                fold=self.request.fold,
                num_classes=dataset.num_classes,
                class_names=dataset.class_names,
                in_channels=dataset.in_channels,
            ),
            seed=seed,
            checkpoint_sha256=sha256,
        )
        return PlannedRun(config, RunFolder(self.request.home, run_id(config)))

    def plan(self, patch: PatchConfig) -> Plan:
        """Patch size and spacing."""
        from spsam.data.plan import plan

        key = patch.model_dump_json()
        if key not in self.plans:
            self.plans[key] = plan(self.dataset, self.split.train, **patch.model_dump())
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


def _load_arms(request: Request, preset: str) -> list[tuple[ArmConfig, ArmConfig | None]]:
    overrides = dict(request.overrides)
    if request.checkpoint:
        # Naming a file means using it, unless the user said otherwise.
        overrides.setdefault("backbone.weights", "checkpoint")
    options: dict[str, Any] = {"preset": preset, "plugins": tuple(request.plugins)}
    problems: list[Problem] = []
    loaded = []
    for item in expand(list(request.arms)):
        with gather(problems):
            arm = load_arm(item, overrides, **options)
            loaded.append((arm, load_parent(item, overrides, **options)))
    names = [arm.name for arm, _ in loaded]
    twice = sorted({name for name in names if names.count(name) > 1})
    problems += [Problem(f"two arms are called '{name}': rename a file") for name in twice]
    raise_all(problems)
    return loaded


def _describe_arm(planned: PlannedArm) -> dict[str, Any]:
    ids = [run.folder.run_id for run in planned.runs]
    return {
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
