"""Benchmark of an arm's network: parameters, operations, memory, and time by part."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import torch

from spsam.config.schema import ArmConfig, TrainConfig
from spsam.data.sampling.patches import Patch
from spsam.engine.assemble import build_network, on_random_weights
from spsam.engine.bench.official import on_official_modules
from spsam.engine.bench.parts import FORWARD, PARTS, Seconds, TimedStep, in_turns
from spsam.engine.device import give_back
from spsam.engine.recording.cost import PeakMemory, gigaflops
from spsam.engine.training.batches import random_batch
from spsam.engine.training.train import execute_as
from spsam.errors import InputError
from spsam.model.networks.self_prompt_sam import SelfPromptSAM
from spsam.model.sam.backbones import backbone_spec

OFFICIAL = "official"
"""The same network on unmodified `segment-anything` modules."""


@dataclass(frozen=True)
class Sizes:
    """Sizes of a batch.

    Attributes:
        batch: B, number of patches.
        channels: M, number of image modalities.
        classes: K, number of classes including the background.
        patch: (D, H, W).
    """

    batch: int
    channels: int
    classes: int
    patch: tuple[int, int, int]


@dataclass(frozen=True)
class Timing:
    """Time and memory of one network.

    Attributes:
        parts: Median seconds of each part of a step.
        step: Median seconds of a whole step.
        inference: Median seconds of a forward pass of the batch without gradients.
        peak_memory_bytes: Peak memory of a step, without the memory in use before it.
    """

    parts: Seconds
    step: float
    inference: float
    peak_memory_bytes: int


@dataclass(frozen=True)
class Bench:
    """Results of a benchmark.

    Attributes:
        arm: Name of the arm.
        backbone: Name of the backbone.
        sizes: Sizes of the batch.
        precision: As in `train.precision`.
        device: Device of the measurement.
        seconds_of: `processor` (CPU time) or `clock` (wall time).
        repeats: Number of steps per median.
        trained_from: First trained part of the network; no earlier part has a backward pass.
        parameters: Trained parameters by slot, `trained` in total, and `total` including SAM's.
        gigaflops: 10⁹ operations of the forward pass of one patch.
        own: Timing of the network.
        against: Timing of the network that it is compared with, by name.
        ratio: `own` divided by `against`: step, inference, memory and parts.
    """

    arm: str
    backbone: str
    sizes: Sizes
    precision: str
    device: str
    seconds_of: str
    repeats: int
    trained_from: str
    parameters: dict[str, int]
    gigaflops: float
    own: Timing
    against: dict[str, Timing] = field(default_factory=dict)
    ratio: dict[str, dict[str, float]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values."""
        return asdict(self)


def bench(
    arm: ArmConfig,
    sizes: Sizes,
    *,
    device: str,
    repeats: int = 5,
    threads: int = 1,
    against: ArmConfig | Literal["official"] | None = None,
) -> Bench:
    """Measures steps of an arm on random patches, with random weights of SAM.

    Compared networks take turns in one process, so that other load on the machine affects both
    equally.

    Args:
        arm: The arm; its `train` section defines loss, optimiser, precision and execution.
        sizes: Sizes of the batch.
        device: Device of the measurement.
        repeats: Number of steps of each network, after one warm-up step.
        threads: CPU threads; with more than one, many small operations spend much time waiting.
        against: Another arm, or `official`: the same network and weights on unmodified
            `segment-anything` modules.

    Raises:
        InputError: If an arm does not use Self-Prompt SAM, or only one of both is deterministic.
    """
    other = against if isinstance(against, ArmConfig) else None
    _refuse_what_has_no_parts(arm, other)
    where = torch.device(device)
    torch.set_num_threads(threads)
    network = network_of(arm, sizes)
    operations = gigaflops(
        network, sizes.channels, arm.train.model_copy(update={"precision": "fp32"})
    )
    batch = random_batch(sizes.batch, sizes.channels, sizes.patch, sizes.classes)
    steps: dict[str, TimedStep] = {}
    if other:
        steps[other.name] = timed_step(network_of(other, sizes).to(where), other.train, batch)
    elif against:
        official = on_official_modules(network, backbone_spec(arm.backbone.name))
        steps[OFFICIAL] = TimedStep(official.to(where).train(), arm.train, batch)
    own, *others = _timings(
        [timed_step(network.to(where), arm.train, batch), *steps.values()], repeats
    )
    timings = dict(zip(steps, others, strict=True))
    counts = network.parameter_groups()
    total = sum(parameter.numel() for parameter in network.parameters())
    return Bench(
        arm=arm.name,
        backbone=arm.backbone.name,
        sizes=sizes,
        precision=arm.train.precision,
        device=torch.cuda.get_device_name(where) if where.type == "cuda" else "cpu",
        seconds_of="clock" if where.type == "cuda" else "processor",
        repeats=repeats,
        trained_from=network.training_starts(),
        parameters={**counts, "trained": sum(counts.values()), "total": total},
        gigaflops=operations,
        own=own,
        against=timings,
        ratio={name: _ratio(own, other) for name, other in timings.items()},
    )


def _refuse_what_has_no_parts(arm: ArmConfig, other: ArmConfig | None) -> None:
    for each in (arm, other or arm):
        if each.network.name != "self_prompt_sam":
            raise InputError(
                f"arm '{each.name}': bench expects the network self_prompt_sam, got "
                f"{each.network.name}; a dry run reports the parameters and time of other networks"
            )
    if other and other.train.deterministic != arm.train.deterministic:
        raise InputError(
            "train.deterministic applies to a whole process: measure both arms separately"
        )


def network_of(arm: ArmConfig, sizes: Sizes) -> SelfPromptSAM:
    """Builds the arm's network for patches of these sizes, with random weights of SAM."""
    network = build_network(
        on_random_weights(arm),
        in_channels=sizes.channels,
        num_classes=sizes.classes,
        depth=sizes.patch[0],
        image_size=sizes.patch[1:],
    )
    assert isinstance(network, SelfPromptSAM)
    return network


def timed_step(network: SelfPromptSAM, train: TrainConfig, batch: Patch) -> TimedStep:
    """Prepares a step of a network on its device, with the arm's execution settings."""
    execute_as(train, network)
    return TimedStep(network.train(), train, batch)


def _timings(steps: list[TimedStep], repeats: int) -> list[Timing]:
    peaks = [peak(step, step.optimizer, step.device) for step in steps]
    trained = in_turns(dict(enumerate(steps)), repeats)
    inferred = in_turns({turn: step.infer for turn, step in enumerate(steps)}, repeats)
    return [
        Timing(
            parts={part: _median([one[part] for one in trained[turn]]) for part in PARTS},
            step=_median([sum(one.values()) for one in trained[turn]]),
            inference=_median([sum(one[part] for part in FORWARD) for one in inferred[turn]]),
            peak_memory_bytes=held_most,
        )
        for turn, held_most in enumerate(peaks)
    ]


def peak(step: Callable[[], object], optimizer: torch.optim.Optimizer, device: torch.device) -> int:
    """Measures the peak memory of the second step; the first allocates the optimiser's state.

    Args:
        step: Executes a step.
        optimizer: Optimiser of the step.
        device: Device of the step.

    Returns:
        Bytes beyond the memory in use before the step.
    """
    step()
    optimizer.zero_grad(set_to_none=True)
    return held(step, device)


def held(work: Callable[[], object], device: torch.device) -> int:
    """Measures the peak memory of a function.

    Args:
        work: The function.
        device: Device of the computation.

    Returns:
        Bytes beyond the memory in use before the call.
    """
    give_back()
    memory = PeakMemory(device)
    before = memory.read()["peak_memory_bytes"]
    work()
    return max(int(memory.read()["peak_memory_bytes"]) - int(before), 0)


def _ratio(own: Timing, other: Timing) -> dict[str, float]:
    pairs = {
        "step": (own.step, other.step),
        "inference": (own.inference, other.inference),
        "peak_memory_bytes": (own.peak_memory_bytes, other.peak_memory_bytes),
        **{part: (own.parts[part], other.parts[part]) for part in PARTS},
    }
    return {name: round(a / b, 3) if b else float("nan") for name, (a, b) in pairs.items()}


def _median(values: list[float]) -> float:
    return round(statistics.median(values), 6)
