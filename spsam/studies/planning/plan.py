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
    from spsam.studies.tuning.plan import Tuning


@dataclass(frozen=True)
class PlannedArm:
    """One arm of the ablation.

    Attributes:
        arm: Resolved.
        base: The arm it is a change of: the nearest of its bases that is in the study, and the
            nearest of all where none is; None for a root.
        diff: What it changes of that, as `registry.arms.differences` gives it.
        size: Parameters of its network.
        plan: Patch size and spacing, on the first fold.
        checkpoint: SAM's weights; None for random ones.
        runs: Every seed's folds, seed by seed.
        levels: Of a factorial study: factor -> the value it has here.
    """

    arm: ArmConfig
    base: str | None
    diff: Sequence[Mapping[str, Any]]
    size: NetworkSize
    plan: Plan
    checkpoint: Path | None
    runs: Sequence[RunSpec]
    levels: Mapping[str, str] = field(default_factory=dict)

    @property
    def weights(self) -> Origin | None:
        """Where its SAM's weights come from; None for a network without SAM."""
        return self.runs[0].weights


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
        hiding: Files of the user's that hide shipped ones, in words.
        externals: Predictions made elsewhere, in the order of the table, below the arms.
        tuning: What is chosen on validation cases before the runs; None: nothing is.
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
    tuning: Tuning | None = None

    @classmethod
    def of(
        cls, request: Request, inputs: StudyInputs, arms: Sequence[PlannedArm], **more: Any
    ) -> Ablation:
        """An ablation of planned arms; `more` are further attributes."""
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
        """The first fold's."""
        return next(iter(self.splits.values()))

    @property
    def notes(self) -> list[str]:
        """What a user should know of data, splits and arms."""
        of_splits = [note for split in self.splits.values() for note in split.notes]
        of_weights = [
            f"no weights are given: runs are named as with {name}'s official file; give it with "
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
        """All runs; every arm's first seed and fold before any arm's second."""
        count = len(self.arms[0].runs)
        return [(arm, arm.runs[index]) for index in range(count) for arm in self.arms]

    def parent(self, planned: PlannedArm) -> str | None:
        """The arm that one is compared with: its base, where that is in the study."""
        names = {arm.arm.name for arm in self.arms}
        return planned.base if planned.base in names else None

    @property
    def name(self) -> str:
        """The study's name: what was asked for, and a hash of its runs."""
        made_of = f"{Path(self.request.arms[0]).stem}-" if self.study else ""
        label = self.request.name or f"{made_of}{self.dataset.name}-{self.preset}"
        if self.tuning is None:
            names = [f"{arm.arm.name}:{run.folder.run_id}" for arm in self.arms for run in arm.runs]
        else:
            names = self.tuning.names
        # By their names: label maps that change belong to the study that they belonged to.
        names += [f"external:{external.name}" for external in self.externals]
        digest = hashlib.sha256(" ".join(names).encode()).hexdigest()[:8]
        return f"{file_name(label)}-{digest}"

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
            # By which the paper's tables know it, whatever it is called here.
            "published": self.dataset.published,
            "notes": self.notes,
            "preset": self.preset,
            "protocol": None if self.protocol is None else self.protocol.describe(),
            "device": self.device,
            "seeds": list(self.request.seeds),
            "folds": [{"fold": fold, "split_hash": s.hash} for fold, s in self.splits.items()],
            "arms": [
                *[self._describe(arm) for arm in self.arms],
                *[external.describe() for external in self.externals],
            ],
        }
        if self.study is not None:
            told["study"] = {"title": self.study.title, "shape": self.study.shape}
        return told

    def _describe(self, arm: PlannedArm) -> dict[str, Any]:
        tuned = None if self.tuning is None else self.tuning.describe(arm.arm.name)
        return _describe_arm(arm, self.parent(arm)) | ({} if tuned is None else {"tuned": tuned})


def _emulated(ablation: Ablation) -> list[str]:
    """That bf16 is slow on this processor, where an arm computes in it."""
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
    """Whether a dry run plans an arm whose official weights are not at hand."""
    return planned.checkpoint is None and planned.runs[0].config.checkpoint_sha256 is not None


def _unequal_steps(ablation: Ablation) -> list[str]:
    """What there is to say where recipes are compared that do not train equally long."""
    if not isinstance(ablation.study, Arms) or not ablation.study.recipes:
        return []
    steps: dict[str, list[str]] = {}
    for planned in ablation.arms:
        train = planned.arm.train
        told = f"{train.epochs * train.iterations:,} steps of {train.batch_size} patches"
        steps.setdefault(told, []).append(planned.arm.name)
    if len(steps) == 1:
        return []
    told = "; ".join(f"{count}: {', '.join(names)}" for count, names in steps.items())
    return [f"arms do not train equally long: {told}"]


def _changed_aspect(planned: PlannedArm) -> str | None:
    """What there is to say where the encoder sees a patch stretched along one axis."""
    wanted, (_, height, width) = planned.arm.backbone.encoder_size, planned.plan.patch_size
    h, w = (wanted, wanted) if wanted is None or isinstance(wanted, int) else wanted
    if planned.weights is None or h is None or w is None or h * width == w * height:
        return None
    return (
        f"the encoder's {h}×{w} pixels stretch patches of {height}×{width}; "
        "backbone.encoder_size=[height, width] of the same aspect does not"
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
        "patch_size": list(planned.plan.patch_size),
        "trained_parameters": planned.size.trained,
        "total_parameters": planned.size.total,
        "parameters": planned.size.blocks,
        "weights": None if planned.weights is None else planned.weights.to_dict(),
    }
    if planned.arm.train.checkpoint == "best":
        cases = len(planned.runs[0].split.val)
        told["best"] = {"of": planned.arm.train.validations, "cases": cases}
    initial = {run.initial.words: None for run in planned.runs if run.initial is not None}
    if initial:
        told["initial"] = list(initial)
    return told | ({"levels": dict(planned.levels)} if planned.levels else {})
