"""Memory and time of planned runs: measurement, estimates, and settings that fit into memory."""

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
"""Settings of an arm that affect neither its memory nor its time per step."""

_HOUR, _WEEK = 3600.0, 7 * 24 * 3600.0
# Operations per second of a fast CPU, and pixels per token of SAM.
_FAST, _PIXELS_A_TOKEN = 1e12, 256


def costs(ablation: Ablation, watch: ProgressListener, backend: Backend | None = None) -> Costs:
    """Measures the memory and the seconds per step of every arm.

    Returns:
        Arm's name -> the fields of `spsam.engine.training.measure.Cost`; None if the memory does
        not suffice.
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
    """Estimates the cost of the largest arm on a CPU, and returns it if a GPU is advisable.

    Returns:
        The arm's name (`arm`) and the fields of `spsam.engine.training.estimate.Estimate`. None on
        a GPU, or if the memory suffices and a run takes less than a week.
    """
    if ablation.device != "cpu":
        return None
    planned = max(ablation.arms, key=lambda arm: (arm.size.total, arm.size.trained))
    train = planned.arm.train
    depth, height, width = planned.plan.patch_size
    # A lower bound: each weight is used at least once per token. Small networks stop here.
    tokens = depth * height * width / _PIXELS_A_TOKEN
    steps = train.steps * train.batch_size
    if 2 * planned.size.total * tokens * steps < _HOUR * _FAST:
        return None
    cost = (backend or Backend()).estimate(planned.runs[0].config, planned.plan)
    if cost["peak"] <= cost["free"] and cost["seconds"] < _WEEK:
        return None
    return {"arm": planned.arm.name, **cost}


def on_gpu(
    ablation: Ablation, memory: float, watch: ProgressListener, backend: Backend | None = None
) -> dict[str, list[dict[str, Any]]]:
    """Plans how to run every arm on a GPU that need not be present, and whether it fits.

    Args:
        ablation: The ablation, planned for any device.
        memory: The GPU's memory in GB.
        watch: Receives the progress.
        backend: The engine.

    Returns:
        Arm's name -> the ways that were tried, with the fields of
        `spsam.engine.gpu_memory.ways.Way`.
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
    """Chooses settings with which the runs fit into memory; their ids do not change.

    Args:
        ablation: The planned ablation.
        watch: Receives the chosen settings as messages.
        memory: The memory to use, in GB; None: the free memory.
        backend: The engine.

    Returns:
        The ablation with these settings, and the costs of its arms as in `costs`.

    Raises:
        InputError: If no settings make a run fit.
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
            f"{cost['peak'] / 1e9:.2f} GB, {cost['joint_step']:.2f} s per step"
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
