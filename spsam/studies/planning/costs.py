"""What runs will take, told before they begin; and how they are made to fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from spsam.config.schema import ArmConfig
from spsam.data.plan import Plan
from spsam.studies.backend import Backend
from spsam.studies.planning.plan import Ablation, PlannedArm
from spsam.studies.progress_events import ProgressListener

Costs = Mapping[str, Mapping[str, Any] | None]

_NO_COST: Any = {
    **dict.fromkeys(("name", "title", "parent", "summary", "plugins", "evaluation"), True),
    "train": {
        "optimizer": {"lr", "betas", "weight_decay"},
        **dict.fromkeys(("schedule", "poly_power", "warmup_epochs"), True),
        **dict.fromkeys(("foreground", "validate_every", "checkpoint"), True),
    },
}
"""Values of an arm on which neither its memory nor its time depends."""

_HOUR, _WEEK = 3600.0, 7 * 24 * 3600.0
# Operations a second of a large processor, and the pixels of a token of SAM.
_FAST, _PIXELS_A_TOKEN = 1e12, 256


def costs(ablation: Ablation, watch: ProgressListener, backend: Backend | None = None) -> Costs:
    """Memory and seconds a step of every arm, measured; None where memory does not suffice.

    Returns:
        By the arm's name, what `spsam.engine.training.measure.Cost` has.
    """
    backend = backend or Backend()
    alike: dict[tuple[str, Plan], Mapping[str, Any] | None] = {}
    found: dict[str, Mapping[str, Any] | None] = {}
    for number, planned in enumerate(ablation.arms):
        step = planned.arm.model_dump_json(exclude=_NO_COST), planned.plan
        if step not in alike:
            watch.stage(f"measuring {planned.arm.name}", number, len(ablation.arms))
            alike[step] = backend.measure(
                planned.runs[0].config, planned.plan, ablation.device, ablation.request.devices
            )
        found[planned.arm.name] = alike[step]
    watch.stage("measuring", len(ablation.arms), len(ablation.arms))
    return found


def too_large(ablation: Ablation, backend: Backend | None = None) -> dict[str, Any] | None:
    """What the largest arm would take on a machine without a GPU, where that is made for one.

    Returns:
        The arm's name (`arm`) and what `spsam.engine.training.estimate.Estimate` has; None on a
        GPU, or where memory suffices and a run takes less than a week.
    """
    if ablation.device != "cpu":
        return None
    planned = max(ablation.arms, key=lambda arm: (arm.size.total, arm.size.trained))
    train = planned.arm.train
    depth, height, width = planned.plan.patch_size
    # Each weight meets each token at least once: small networks need no closer look.
    tokens = depth * height * width / _PIXELS_A_TOKEN
    steps = train.epochs * train.iterations * train.batch_size
    if 2 * planned.size.total * tokens * steps < _HOUR * _FAST:
        return None
    cost = (backend or Backend()).estimate(planned.runs[0].config, planned.plan)
    if cost["peak"] <= cost["free"] and cost["seconds"] < _WEEK:
        return None
    return {"arm": planned.arm.name, **cost}


def on_gpu(
    ablation: Ablation, memory: float, watch: ProgressListener, backend: Backend | None = None
) -> dict[str, list[dict[str, Any]]]:
    """How every arm would be computed on a GPU that need not be here, and whether it fits.

    Args:
        ablation: Planned on any device.
        memory: GB that the GPU has.
        watch: Told how far it is.
        backend: The engine.

    Returns:
        By the arm's name, the ways tried, as `spsam.engine.gpu_memory.ways.Way` has them.
    """
    backend = backend or Backend()
    found: dict[str, list[dict[str, Any]]] = {}
    for number, planned in enumerate(ablation.arms):
        watch.stage(f"planning {planned.arm.name}", number, len(ablation.arms))
        config = planned.runs[0].config
        found[planned.arm.name] = backend.gpu_ways(
            config, planned.plan, ablation.request.devices, memory
        )
    watch.stage("planning", len(ablation.arms), len(ablation.arms))
    return found


def fitted(
    ablation: Ablation,
    watch: ProgressListener,
    memory: float | None = None,
    backend: Backend | None = None,
) -> tuple[Ablation, Costs]:
    """The same runs, computed so that they fit into memory; their identities are the same.

    Args:
        ablation: Planned.
        watch: Told what was chosen.
        memory: GB that may be used; None takes what is free.
        backend: The engine.

    Raises:
        InputError: If a run cannot be made to fit.
    """
    backend = backend or Backend()
    arms: list[PlannedArm] = []
    found: dict[str, Mapping[str, Any] | None] = {}
    for planned in ablation.arms:
        changes, cost = backend.fit(
            planned.runs[0].config, planned.plan, ablation.device, ablation.request.devices, memory
        )
        watch.say(
            f"{planned.arm.name}: train.accumulate {changes['accumulate']}, "
            f"train.checkpoint_activations {str(changes['checkpoint_activations']).lower()}: "
            f"{cost['peak'] / 1e9:.2f} GB, {cost['joint_step']:.2f} s a step"
        )
        found[planned.arm.name] = cost
        arms.append(_changed(planned, changes))
    return replace(ablation, arms=arms), found


def _changed(planned: PlannedArm, changes: Mapping[str, Any]) -> PlannedArm:
    def arm(config: ArmConfig) -> ArmConfig:
        train = config.train.model_copy(update=dict(changes))
        return config.model_copy(update={"train": train})

    runs = [
        replace(run, config=run.config.model_copy(update={"arm": arm(run.config.arm)}))
        for run in planned.runs
    ]
    return replace(planned, arm=arm(planned.arm), runs=runs)
