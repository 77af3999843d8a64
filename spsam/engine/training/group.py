"""Processes that compute a run together, each with a share of every batch."""

from __future__ import annotations

import os
from collections.abc import Iterable

import torch
from torch import Tensor, nn


class ProcessGroup:
    """A single process.

    Attributes:
        rank: Index of the process; process 0 writes the run's files.
        count: Number of processes.
    """

    rank = 0
    count = 1

    def sum(self, value: Tensor) -> Tensor:
        """Computes the sum over all processes; the result is the same in each."""
        return value

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replaces each gradient by its mean over all processes."""


class DistributedGroup(ProcessGroup):
    """One of several processes, each on its own device.

    SAM is frozen, so that only gradients of the added blocks are exchanged. One sum over all of
    them after the backward pass is fast. torch's wrapper, which sums during the backward pass,
    would require the set of parameters that each phase uses.

    Args:
        rank: Index of this process.
        count: Number of processes.
        port: Port of process 0.
        device: `cpu`, or this process's own GPU.
        host: Host of process 0.
        local: Index of this process on its machine; None: all processes are on one machine.
    """

    def __init__(  # noqa: PLR0917 - a place in a group, as launchers name it
        self,
        rank: int,
        count: int,
        port: int,
        device: torch.device,
        host: str = "127.0.0.1",
        local: int | None = None,
    ) -> None:
        self.rank, self.count = rank, count
        places = {"RANK": rank, "LOCAL_RANK": rank if local is None else local, "WORLD_SIZE": count}
        os.environ.update({name: str(value) for name, value in places.items()})
        os.environ.update({"MASTER_ADDR": host, "MASTER_PORT": str(port)})
        if device.type == "cpu":
            os.environ.setdefault("OMP_NUM_THREADS", str(torch.get_num_threads()))
        from accelerate import PartialState

        self._state = PartialState(cpu=device.type == "cpu")
        assert self._state.num_processes == count

    def leave(self) -> None:
        """Ends the group; no sums are possible afterwards."""
        self._state.destroy_process_group()

    def sum(self, value: Tensor) -> Tensor:
        """Computes the sum over all processes; the result is the same in each."""
        from accelerate.utils import reduce

        total: Tensor = reduce(value, reduction="sum")
        return total

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replaces each gradient by its mean over all processes."""
        gradients = [each.grad for each in parameters if each.grad is not None]
        flat = self.sum(torch.cat([each.reshape(-1) for each in gradients])) / self.count
        first = 0
        for gradient in gradients:
            gradient.copy_(flat[first : first + gradient.numel()].view_as(gradient))
            first += gradient.numel()
