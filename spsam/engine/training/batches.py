"""Batches in their order, from any step on, and what the death of a worker looks like."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch.utils.data import DataLoader, Dataset

from spsam.config.schema import TrainConfig
from spsam.data.sampling.patches import Patch
from spsam.engine.training.group import ProcessGroup
from spsam.signals import handling


class DeadWorkerError(Exception):
    """A process that makes patches was killed, by the system or by someone."""


@contextmanager
def batches(
    patches: Dataset[Patch], train: TrainConfig, first: int, workers: int, group: ProcessGroup
) -> Iterator[Iterator[Patch]]:
    """This process's share of every batch from step `first` to the last.

    Step s takes the patches s·B … s·B + B - 1, whatever was interrupted; with n processes, the r-th
    takes the r-th n-th of them.

    Args:
        patches: At least epochs · iterations · batch_size.
        train: Steps and batch size.
        first: The first step.
        workers: Processes that make patches, until the context ends; 0 makes them in this one.
        group: The processes that share a batch.

    Raises:
        DeadWorkerError: By `next`, if a worker died. What making a patch raised, in whatever
            process, is raised as it is.
    """
    own = train.batch_size // group.count
    steps = range(first, train.epochs * train.iterations)
    starts = (step * train.batch_size + group.rank * own for step in steps)
    loader = DataLoader(
        patches,
        batch_sampler=[list(range(start, start + own)) for start in starts],
        num_workers=workers,
        pin_memory=torch.cuda.is_available(),
        worker_init_fn=_deaf if workers else None,
        # Of its own: a loader draws a seed, which must not come out of the network's sequence.
        generator=torch.Generator(),
    )
    made = iter(loader)
    # Leaves it to `next` to find a dead worker. torch would have its death raise, too, in whatever
    # this process does then: the handling of another error, a library that catches everything.
    quiet = (
        handling(signal.SIGCHLD, signal.SIG_DFL) if hasattr(signal, "SIGCHLD") else nullcontext()
    )
    with quiet:
        try:
            yield _told_apart(made, workers)
        finally:
            # Not left to the last reference, which may be an error's traceback: the workers, deaf
            # to signals, would keep this process from ending.
            getattr(made, "_shutdown_workers", lambda: None)()


def _told_apart(made: Iterator[Patch], workers: int) -> Iterator[Patch]:
    """The same batches; what says that a worker died is a `DeadWorkerError`."""
    try:
        yield from made
    except (RuntimeError, OSError, EOFError) as error:
        if _is_death(error, workers):
            raise DeadWorkerError(str(error) or type(error).__name__) from error
        raise


def _is_death(error: Exception, workers: int) -> bool:
    if isinstance(error, RuntimeError):
        return "DataLoader worker (pid" in str(error)
    # What the dead had sent and not yet handed over cannot be taken, here or in the thread that
    # pins memory, and for a moment the system counts them among the living: torch, which asks it,
    # raises what the connection did. What a patch raised in a worker says that it comes from there.
    return workers > 0 and "in DataLoader worker process" not in str(error)


def _deaf(worker: int) -> None:
    """A signal to the whole process group is the trainer's to handle; workers end with it."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def random_batch(
    batch: int, channels: int, patch: tuple[int, int, int], classes: int, seed: int = 0
) -> Patch:
    """Noise, and labels in bands: every class is in every slice, as one region.

    Args:
        batch: B.
        channels: M, image modalities.
        patch: (D, H, W).
        classes: K, background included.
        seed: Of the noise.
    """
    generator = torch.Generator().manual_seed(seed)
    bands = torch.arange(patch[1]) * classes // patch[1]
    return {
        "image": torch.randn(batch, channels, *patch, generator=generator),
        "label": bands[:, None].expand(batch, *patch).contiguous(),
    }
