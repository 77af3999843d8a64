"""Batches in a fixed order from any step on, and detection of killed data workers."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch.utils.data import DataLoader, Dataset

from spsam.config.schema import TrainConfig
from spsam.data.sampling.patches import Patch
from spsam.data.workers import cores
from spsam.engine.training.group import ProcessGroup
from spsam.signals import handling


class DeadWorkerError(Exception):
    """A process that generates patches was killed."""


@contextmanager
def batches(
    patches: Dataset[Patch], train: TrainConfig, first: int, workers: int, group: ProcessGroup
) -> Iterator[Iterator[Patch]]:
    """Yields this process's share of every batch from step `first` to the last.

    Step s uses the patches s·B … s·B + B - 1, regardless of interruptions. With n processes,
    process r uses the r-th of n equal parts.

    Args:
        patches: At least epochs · iterations · batch_size patches.
        train: Number of steps and batch size.
        first: Index of the first step.
        workers: Processes that generate patches until the context ends, at most one per core; 0:
            this process.
        group: Processes that share a batch.

    Raises:
        DeadWorkerError: From `next`, if a worker was killed. Exceptions from the generation of a
            patch, in any process, are raised unchanged.
    """
    own = train.batch_size // group.count
    # A preset for a server has more than a laptop's cores; patches do not depend on the number.
    workers = min(workers, cores())
    steps = range(first, train.steps)
    starts = (step * train.batch_size + group.rank * own for step in steps)
    loader = DataLoader(
        patches,
        batch_sampler=[list(range(start, start + own)) for start in starts],
        num_workers=workers,
        pin_memory=torch.cuda.is_available(),
        worker_init_fn=_deaf if workers else None,
        # A separate generator: the loader draws a seed, which must not affect the network's draws.
        generator=torch.Generator(),
    )
    made = iter(loader)
    # Only `next` reports a killed worker. torch's signal handler would raise an error anywhere in
    # this process, such as while another error is handled or in code that catches everything.
    quiet = (
        handling(signal.SIGCHLD, signal.SIG_DFL) if hasattr(signal, "SIGCHLD") else nullcontext()
    )
    with quiet:
        try:
            yield _told_apart(made, workers)
        finally:
            # Explicitly, because an error's traceback can hold the last reference to the loader,
            # whose workers ignore signals and would prevent this process from exiting.
            getattr(made, "_shutdown_workers", lambda: None)()


def _told_apart(made: Iterator[Patch], workers: int) -> Iterator[Patch]:
    """Yields the same batches; errors caused by a killed worker become `DeadWorkerError`."""
    try:
        yield from made
    except (RuntimeError, OSError, EOFError) as error:
        if _is_death(error, workers):
            raise DeadWorkerError(str(error) or type(error).__name__) from error
        raise


def _is_death(error: Exception, workers: int) -> bool:
    if isinstance(error, RuntimeError):
        return "DataLoader worker (pid" in str(error)
    # Data sent by a killed worker can be unreadable, here or in the thread that pins memory. If the
    # system still lists the worker as alive, torch raises the connection's error. The message of an
    # error from the generation of a patch contains the text below.
    return workers > 0 and "in DataLoader worker process" not in str(error)


def _deaf(worker: int) -> None:
    """Ignores signals to the process group: the trainer handles them and ends its workers."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def random_batch(
    batch: int, channels: int, patch: tuple[int, int, int], classes: int, seed: int = 0
) -> Patch:
    """Generates noise, and labels in bands: every slice contains each class as one region.

    Args:
        batch: B, number of patches.
        channels: M, number of image modalities.
        patch: (D, H, W).
        classes: K, number of classes including the background.
        seed: Seed of the noise.
    """
    generator = torch.Generator().manual_seed(seed)
    bands = torch.arange(patch[1]) * classes // patch[1]
    return {
        "image": torch.randn(batch, channels, *patch, generator=generator),
        "label": bands[:, None].expand(batch, *patch).contiguous(),
    }
