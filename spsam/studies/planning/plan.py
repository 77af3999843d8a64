"""A planned ablation: its arms and their runs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spsam.config.schema import ArmConfig
from spsam.config.study import Arms, Study
from spsam.engine.run_spec import NetworkSize, RunSpec
from spsam.registry.protocols import Protocol
from spsam.studies.planning.external import PlannedExternal
from spsam.studies.planning.inputs import StudyInputs
from spsam.studies.planning.request import Request
from spsam.text.file_name import file_name

if TYPE_CHECKING:
    from spsam.data.cases import DataSet
    from spsam.data.plan import Plan
    from spsam.data.split import Split
    from spsam.model.sam.origin import Origin


@dataclass(frozen=True)
class PlannedArm:
    """One arm of the ablation.

    Attributes:
        arm: The resolved arm.
        base: The nearest base that is in the study, or else the nearest base; None for a root.
        diff: The changes relative to the base, from `registry.differences.differences`.
        size: Number of parameters of its network.
        plan: Patch size and spacing on the first fold.
        checkpoint: The file with SAM's weights; None for random weights.
        runs: The runs of the arm: all folds of the first seed, then of the second.
        levels: Factor -> level of this arm; only in a factorial study.
        recipe: The recipe that trains it, which its name ends in; empty without recipes.
    """

    arm: ArmConfig
    base: str | None
    diff: Sequence[Mapping[str, Any]]
    size: NetworkSize
    plan: Plan
    checkpoint: Path | None
    runs: Sequence[RunSpec]
    levels: Mapping[str, str] = field(default_factory=dict)
    recipe: str = ""

    @property
    def weights(self) -> Origin | None:
        """The origin of SAM's weights; None for a network without SAM."""
        return self.runs[0].weights


@dataclass(frozen=True)
class Ablation:
    """A planned ablation.

    Attributes:
        request: The request.
        preset: The preset's name.
        device: The device that executes the runs.
        dataset: The data set.
        splits: Fold -> split.
        arms: The arms, in the order of the table.
        study: The study that generates the arms; None if the request lists arms.
        dropped: Messages about arms that are omitted because they equal another one.
        protocol: The preset's protocol for the data set; None if it has none.
        hiding: Messages about the user's files that hide shipped ones.
        externals: The externals, in the order of the table, below the arms.
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
    hiding: Sequence[str] = ()
    externals: Sequence[PlannedExternal] = ()

    @classmethod
    def of(
        cls, request: Request, inputs: StudyInputs, arms: Sequence[PlannedArm], **more: Any
    ) -> Ablation:
        """Creates the ablation of planned arms; `more` contains further attributes."""
        return cls(
            request=request,
            preset=inputs.preset,
            device=inputs.device,
            dataset=inputs.dataset,
            splits=inputs.splits,
            arms=arms,
            protocol=inputs.protocol,
            **more,
        )

    @property
    def split(self) -> Split:
        """The split of the first fold."""
        return next(iter(self.splits.values()))

    @property
    def notes(self) -> list[str]:
        """Notes for the user on the data, the splits and the arms."""
        of_splits = [note for split in self.splits.values() for note in split.notes]
        of_weights = [
            f"no weights are given: run ids assume {name}'s official file; specify it with "
            "--checkpoint FILE"
            for name in dict.fromkeys(arm.arm.backbone.name for arm in self.arms if _lacks(arm))
        ]
        of_aspect = [note for arm in self.arms if (note := _changed_aspect(arm))]
        notes = [
            *self.hiding,
            *self.dataset.notes,
            *of_splits,
            *of_weights,
            *of_aspect,
            *self.dropped,
            *_emulated(self),
            *_unequal_steps(self),
            *[note for _, run in self.runs if run.initial for note in run.initial.notes],
            *[note for external in self.externals for note in external.notes],
        ]
        return [*dict.fromkeys(notes)]

    @property
    def runs(self) -> list[tuple[PlannedArm, RunSpec]]:
        """All runs; the first seed and fold of every arm precede the second of any arm."""
        count = len(self.arms[0].runs)
        return [(arm, arm.runs[index]) for index in range(count) for arm in self.arms]

    def parent(self, planned: PlannedArm) -> str | None:
        """Returns the arm that one is compared with: its base, if it is in the study."""
        names = {arm.arm.name for arm in self.arms}
        return planned.base if planned.base in names else None

    @property
    def name(self) -> str:
        """The study's name: the requested label and a hash of its runs."""
        made_of = f"{Path(self.request.arms[0]).stem}-" if self.study else ""
        label = self.request.name or f"{made_of}{self.dataset.name}-{self.preset}"
        # Only the names: if the label maps change, they still belong to the same study.
        names = [*self.run_names, *(f"external:{external.name}" for external in self.externals)]
        digest = hashlib.sha256(" ".join(names).encode()).hexdigest()[:8]
        return f"{file_name(label)}-{digest}"

    @property
    def run_names(self) -> list[str]:
        """The parts of the study's identity that its runs contribute."""
        return [f"{arm.arm.name}:{run.folder.run_id}" for arm in self.arms for run in arm.runs]

    @property
    def folder(self) -> Path:
        """The study's folder, which contains its tables."""
        return self.request.home / "ablations" / self.name

    def check_ready(self) -> None:
        """Verifies that nothing has to happen before the runs."""

    def describe(self) -> dict[str, Any]:
        """Returns the plan as plain values."""
        scored = {case for split in self.splits.values() for case in split.test}
        told: dict[str, Any] = {
            "name": self.name,
            "data": self.arms[0].runs[0].config.data.model_dump(mode="json"),
            # Of several folds, the number of training cases is that of the first; the test cases of
            # all folds are counted.
            "cases": {
                "train": len(self.split.train),
                "val": len(self.split.val),
                "test": len(scored),
            },
            # The name under which the tables of published values list the data set.
            "published": self.dataset.published,
            "notes": self.notes,
            "preset": self.preset,
            "protocol": None if self.protocol is None else self.protocol.describe(),
            "device": self.device,
            "seeds": list(self.request.seeds),
            "folds": [{"fold": fold, "split_hash": s.hash} for fold, s in self.splits.items()],
            "arms": [
                *[self.describe_arm(arm) for arm in self.arms],
                *[external.describe() for external in self.externals],
            ],
        }
        if self.study is not None:
            told["study"] = {"title": self.study.title, "shape": self.study.shape}
        return told

    def describe_arm(self, arm: PlannedArm) -> dict[str, Any]:
        """Returns an arm as plain values."""
        return _describe_arm(arm, self.parent(arm))


def _emulated(ablation: Ablation) -> list[str]:
    """Returns a note if an arm computes in bf16 and this processor is slow in it."""
    if not any(planned.arm.train.precision == "bf16" for planned in ablation.arms):
        return []
    from spsam.engine.device import emulates_bf16

    if not emulates_bf16(ablation.device):
        return []
    return [
        "train.precision=bf16: this processor has no bf16 instructions, so that a step takes about "
        "eight times as long as in float32; set train.precision=fp32"
    ]


def _lacks(planned: PlannedArm) -> bool:
    """Whether an arm's official weights are missing, which only a dry run permits."""
    return planned.checkpoint is None and planned.runs[0].config.checkpoint_sha256 is not None


def _unequal_steps(ablation: Ablation) -> list[str]:
    """Returns a note if the study's recipes train for different numbers of steps."""
    if not isinstance(ablation.study, Arms) or not ablation.study.recipes:
        return []
    steps: dict[str, list[str]] = {}
    for planned in ablation.arms:
        train = planned.arm.train
        told = f"{train.steps:,} steps of {train.batch_size} patches"
        steps.setdefault(told, []).append(planned.arm.name)
    if len(steps) == 1:
        return []
    told = "; ".join(f"{count}: {', '.join(names)}" for count, names in steps.items())
    return [f"arms train for different numbers of steps: {told}"]


def _changed_aspect(planned: PlannedArm) -> str | None:
    """Returns a note if resizing patches to the encoder's size changes their aspect ratio."""
    wanted, (_, height, width) = planned.arm.backbone.encoder_size, planned.plan.patch_size
    if planned.weights is None or wanted is None or isinstance(wanted, str):
        return None
    h, w = (wanted, wanted) if isinstance(wanted, int) else wanted
    if h * width == w * height:
        return None
    return (
        f"resizing patches of {height}×{width} to the encoder's {h}×{w} pixels changes their "
        "aspect ratio; set backbone.encoder_size=[height, width] or 2x to keep it"
    )


def _describe_arm(planned: PlannedArm, parent: str | None) -> dict[str, Any]:
    ids = [run.folder.run_id for run in planned.runs]
    told = {
        "name": planned.arm.name,
        "title": planned.arm.title,
        "parent": parent,
        "base": planned.base,
        "diff": [dict(change) for change in planned.diff],
        "run_id": ids[0],
        "run_ids": ids,
        "steps": planned.arm.train.steps,
        "patch_size": list(planned.plan.patch_size),
        "trained_parameters": planned.size.trained,
        "total_parameters": planned.size.total,
        "parameters": planned.size.blocks,
        "weights": None if planned.weights is None else planned.weights.to_dict(),
    }
    if planned.arm.train.checkpoint == "best":
        cases = len(planned.runs[0].split.val)
        told["best"] = {"of": planned.arm.train.validations, "cases": cases}
    if planned.recipe:
        told["recipe"] = planned.recipe
    initial = {run.initial.words: None for run in planned.runs if run.initial is not None}
    if initial:
        told["initial"] = list(initial)
    return told | ({"levels": dict(planned.levels)} if planned.levels else {})
