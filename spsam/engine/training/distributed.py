"""Training in several processes on one machine, each on its own device."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch.multiprocessing.spawn import ProcessExitedException, spawn

from spsam.engine.run_spec import RunSpec
from spsam.engine.training.group import DistributedGroup
from spsam.engine.training.progress import Metrics
from spsam.engine.training.run_training import network_of, training_of
from spsam.engine.training.train import fit
from spsam.errors import InputError, SpsamError

if TYPE_CHECKING:
    from multiprocessing.queues import SimpleQueue

_Event = tuple[str, tuple[Any, ...]]
"""Name of an event in a process, and its arguments."""

# Seconds between two checks of the processes' events.
_LOOK = 0.1


def check_devices(device: str, count: int, batch_size: int, accumulate: int) -> None:
    """Verifies that a number of devices of this machine can share a batch.

    Args:
        device: `cpu` or `cuda`.
        count: Number of devices.
        batch_size: Patches of a step on all devices together.
        accumulate: Number of pieces per device.

    Raises:
        InputError: If there are fewer devices, or the batch cannot be divided among them.
    """
    if count == 1:
        return
    if ":" in device:
        raise InputError(f"--devices {count}: expected --device cuda or cpu, got {device}")
    if device == "cuda" and torch.cuda.device_count() < count:
        raise InputError(f"--devices {count}: got only {torch.cuda.device_count()} GPUs")
    check_shares(count, batch_size, accumulate)


def check_shares(count: int, batch_size: int, accumulate: int) -> None:
    """Verifies that a batch can be divided among a number of devices.

    Args:
        count: Number of devices, on any machines.
        batch_size: Patches of a step on all devices together.
        accumulate: Number of pieces per device.

    Raises:
        InputError: If it cannot.
    """
    if batch_size % (count * accumulate):
        raise InputError(
            f"--devices {count}: train.batch_size {batch_size} is the number of patches on all "
            f"devices together; expected a multiple of devices × train.accumulate "
            f"({count} × {accumulate})"
        )


def train_distributed(
    spec: RunSpec,
    *,
    on_epoch: Callable[[Metrics], None],
    on_step: Callable[[int, int], None],
    on_note: Callable[[str], None],
) -> None:
    """Trains a run in `spec.devices` processes and leaves a finished checkpoint.

    Args:
        spec: The run.
        on_epoch: Called with every epoch's metrics.
        on_step: Called with (finished steps, all steps).
        on_note: Called with notes for the user.

    Raises:
        SpsamError: If a process failed; all others are then killed.
    """
    context = torch.multiprocessing.get_context("spawn")
    events: SimpleQueue[_Event] = context.SimpleQueue()
    threads = max(1, torch.get_num_threads() // spec.devices)
    processes = spawn(  # type: ignore[no-untyped-call]
        _train, (spec, _free_port(), threads, events), nprocs=spec.devices, join=False
    )
    assert processes is not None
    hear: dict[str, Callable[..., None]] = {
        "epoch": on_epoch,
        "step": on_step,
        "note": on_note,
        "failed": _fail,
    }
    try:
        done = False
        while not done:
            done = processes.join(timeout=_LOOK)
            while not events.empty():
                name, values = events.get()
                hear[name](*values)
    except ProcessExitedException as error:
        raise SpsamError(f"one of {spec.devices} training processes died: {error}") from error
    finally:
        # If one process fails, the others would wait for it forever.
        for process in processes.processes:
            if process.is_alive():
                process.kill()


def train_as_member(spec: RunSpec, **told: Callable[..., None]) -> int:
    """Trains a run as one of several processes that a cluster has started.

    Args:
        spec: The run.
        told: Callbacks as in `train_distributed`; only process 0 calls them.

    Returns:
        Rank of this process.
    """
    assert spec.member is not None
    member = spec.member
    device = torch.device("cpu" if spec.device == "cpu" else f"cuda:{member.local}")
    group = DistributedGroup(
        member.rank, member.count, member.port, device, host=member.host, local=member.local
    )
    if group.rank:
        told = {name: lambda *_: None for name in told}
    fit(training_of(spec, network_of(spec, device), group=group, **told))
    group.leave()
    return group.rank


def _fail(message: str) -> None:
    raise SpsamError(message)


def _train(
    rank: int,
    spec: RunSpec,
    port: int,
    threads: int,
    events: SimpleQueue[tuple[str, tuple[Any, ...]]],
) -> None:
    """Trains in one process; only process 0 reports its progress."""
    torch.set_num_threads(threads)
    device = torch.device("cpu" if spec.device == "cpu" else f"cuda:{rank}")
    group = DistributedGroup(rank, spec.devices, port, device)

    def tell(name: str) -> Callable[..., None]:
        return lambda *values: events.put((name, values)) if rank == 0 else None

    told = {"on_epoch": tell("epoch"), "on_step": tell("step"), "on_note": tell("note")}
    try:
        fit(training_of(spec, network_of(spec, device), group=group, **told))
    except SpsamError as error:
        events.put(("failed", (str(error),)))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
