"""Measurement of a run's memory and time by a few steps on random patches, before it starts."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import psutil
import torch
from torch import Tensor

from spsam.config.schema import RunConfig, TrainConfig
from spsam.data.preparation.bounds import is_out_of_memory
from spsam.data.sampling.patches import Patch
from spsam.engine.assemble import Spacing, network_for, on_random_weights
from spsam.engine.device import give_back
from spsam.engine.recording.cost import PeakMemory
from spsam.engine.training.batches import random_batch
from spsam.engine.training.estimate import estimate
from spsam.engine.training.group import ProcessGroup
from spsam.engine.training.step import Stepper
from spsam.engine.training.train import execute_as
from spsam.errors import InputError

STEPS = 3
# A step that takes longer than this, in seconds, is measured only once.
_LONG = 20.0
# Share of the free memory that a run may use.
_ROOM = 0.9


@dataclass(frozen=True)
class Cost:
    """Memory of one device in bytes, and time in seconds.

    Attributes:
        weights: Parameters and buffers, including SAM's.
        training: Gradients and the optimiser's state.
        activations: Activations of one piece of a batch that are kept for the backward pass.
        peak: Peak memory: on a GPU, allocated by torch; on a CPU, the increase of the process's
            resident memory.
        free: Free memory of the device.
        generator_step: Seconds of a step in the first phase.
        joint_step: Seconds of a step in the second phase.
        steps: Number of measured steps per phase, after one warm-up step.
        seconds: Seconds of all steps of the run.
    """

    weights: int
    training: int
    activations: int
    peak: int
    free: int
    generator_step: float
    joint_step: float
    steps: int
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Fitting:
    """Execution settings with which a batch fits into memory.

    Attributes:
        accumulate: Number of pieces of a batch, computed in sequence.
        checkpoint_activations: Whether the backward pass recomputes the encoder's blocks.
        cost: Memory and time with these settings.
    """

    accumulate: int
    checkpoint_activations: bool
    cost: Cost


def measure(
    config: RunConfig,
    patch: tuple[int, int, int],
    device: str,
    devices: int = 1,
    spacing: Spacing | None = None,
) -> Cost | None:
    """Executes a few steps of both phases on random patches, with random weights of SAM.

    Args:
        config: The run's configuration.
        patch: (D, H, W).
        device: Device of the measurement; only one of several is measured.
        devices: Number of devices that share a batch.
        spacing: Voxel spacing (z, y, x), mm, for a network that is planned from it.

    Returns:
        Memory and time; None if the memory is not sufficient.
    """
    where = torch.device(device)
    give_back()
    free = _free(where)
    try:
        with _no_more_than(free, where):
            return _measure(config, patch, where, devices, free, spacing=spacing)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return None
    finally:
        give_back()


def fit_memory(
    config: RunConfig,
    patch: tuple[int, int, int],
    device: str,
    devices: int = 1,
    limit: int | None = None,
    *,
    spacing: Spacing | None = None,
) -> Fitting:
    """Finds the fastest execution settings with which the run fits; they do not affect results.

    Dividing a batch costs no time if Dice is computed per patch. If Dice is computed over the
    batch, it requires an additional forward pass, which takes longer than recomputing the blocks.

    Args:
        config: The run's configuration.
        patch: (D, H, W).
        device: Device of the run.
        devices: Number of devices that share a batch.
        limit: Memory limit, bytes; None: nine tenths of the free memory.
        spacing: As in `measure`.

    Raises:
        InputError: If not even a single patch fits.
    """
    cost, needed = None, "more memory than available"
    for accumulate, twice in ways(config.arm.train, devices):
        trial = changed(config, accumulate, twice)
        if torch.device(device).type == "cpu" and trial.arm.train.precision == "fp32":
            # Steps that cannot fit take minutes; the estimate takes seconds and is rather low. It
            # is one of float32.
            planned = estimate(trial, patch, spacing)
            if planned.peak > (limit or _ROOM * planned.free):
                cost, needed = None, f"about {planned.peak / 1e9:.1f} GB"
                continue
        cost = measure(trial, patch, device, devices, spacing)
        if cost is not None and cost.peak <= (limit or _ROOM * cost.free):
            return Fitting(accumulate, twice, cost)
        needed = f"{cost.peak / 1e9:.1f} GB" if cost else "more memory than available"
    free = cost.free if cost else _free(torch.device(device))
    raise InputError(
        f"--fit: one patch at a time, with recomputed encoder blocks, requires {needed}; "
        f"{(limit or free) / 1e9:.1f} GB are available: choose a smaller patch (patch.max_size), "
        "backbone.encoder_size or backbone"
    )


def ways(train: TrainConfig, devices: int) -> list[tuple[int, bool]]:
    """Lists the possible execution settings in the order of their speed.

    Args:
        train: Batch size and loss.
        devices: Number of devices that share a batch.

    Returns:
        (pieces of a batch, whether the encoder's blocks are recomputed) of each.
    """
    own = train.batch_size // devices
    pieces = [count for count in range(1, own + 1) if own % count == 0]
    if train.loss.batch_dice:
        return [(count, twice) for count in pieces for twice in (False, True)]
    return [(count, twice) for twice in (False, True) for count in pieces]


def _measure(
    config: RunConfig,
    patch: tuple[int, int, int],
    device: torch.device,
    devices: int,
    free: int,
    *,
    spacing: Spacing | None,
) -> Cost:
    train = config.arm.train
    before = 0 if device.type == "cuda" else psutil.Process().memory_info().rss
    memory = PeakMemory(device)
    random = config.model_copy(update={"arm": on_random_weights(config.arm)})
    network = network_for(random, patch, None, spacing).to(device).train()
    execute_as(train, network)
    stepper = Stepper(network, train, ProcessGroup())
    data = config.data
    own = train.batch_size // devices
    batch = random_batch(own, data.in_channels, patch, data.num_classes)
    # In the order of a training, because memory fragmented by a phase affects the next one.
    generator, _ = _seconds(stepper, batch, device, {}, decode=False)
    with _kept(network) as kept:
        joint, steps = _seconds(stepper, batch, device, kept, decode=True)
    first = train.generator_epochs * train.iterations
    return Cost(
        weights=_bytes([*network.parameters(), *network.buffers()]),
        training=_bytes(stepper.parameters) + _bytes(_tensors(stepper.optimizer.state_dict())),
        activations=kept["bytes"],
        peak=memory.read()["peak_memory_bytes"] - before,
        free=free,
        generator_step=round(generator, 4),
        joint_step=round(joint, 4),
        steps=steps,
        seconds=round(first * generator + (train.steps - first) * joint, 1),
    )


def _seconds(
    stepper: Stepper, batch: Patch, device: torch.device, kept: dict[str, Any], *, decode: bool
) -> tuple[float, int]:
    """Returns mean seconds and number of measured steps; a warm-up step counts activations."""
    counts = [1, STEPS]
    for count in counts:
        began = time.perf_counter()
        for _ in range(count):
            stepper(batch, 1e-6, decode=decode)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds = (time.perf_counter() - began) / count
        kept["counting"] = False
        if seconds > _LONG:
            return seconds, count
    return seconds, STEPS


@contextmanager
def _kept(network: torch.nn.Module) -> Iterator[dict[str, Any]]:
    """Counts the bytes kept for the backward pass, each storage once, without weights."""
    weights = {each.untyped_storage().data_ptr() for each in network.parameters()}
    found: dict[str, Any] = {"bytes": 0, "counting": True}
    seen: set[int] = set()

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        place = storage.data_ptr()
        if found["counting"] and place not in seen and place not in weights:
            seen.add(place)
            found["bytes"] += storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield found


def changed(config: RunConfig, accumulate: int, twice: bool) -> RunConfig:
    """Returns a run's configuration with other execution settings.

    Args:
        config: The run's configuration.
        accumulate: Number of pieces of a batch.
        twice: Whether the encoder's blocks are recomputed.
    """
    changes = {"accumulate": accumulate, "checkpoint_activations": twice}
    train: TrainConfig = config.arm.train.model_copy(update=changes)
    return config.model_copy(update={"arm": config.arm.model_copy(update={"train": train})})


def _bytes(tensors: list[Any]) -> int:
    return sum(each.numel() * each.element_size() for each in tensors)


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    inner = value.values() if isinstance(value, dict) else ()
    return [tensor for item in inner for tensor in _tensors(item)]


def _free(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


@contextmanager
def _no_more_than(free: int, device: torch.device) -> Iterator[None]:
    """Makes allocations beyond most of the free memory fail; the system could kill a process."""
    if device.type == "cuda" or sys.platform != "linux":
        yield
        return
    import resource

    kind = resource.RLIMIT_AS
    soft, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (psutil.Process().memory_info().vms + int(_ROOM * free), hard))
    try:
        yield
    finally:
        resource.setrlimit(kind, (soft, hard))
