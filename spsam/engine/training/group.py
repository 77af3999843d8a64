"""The processes that compute a run together, each a share of every batch."""

from __future__ import annotations

import os
from collections.abc import Iterable

import torch
from torch import Tensor, nn


class ProcessGroup:
    """One process, which computes alone.

    Attributes:
        rank: The process's number; 0 writes the run's files.
        count: How many there are.
    """

    rank = 0
    count = 1

    def sum(self, value: Tensor) -> Tensor:
        """The sum over all processes, the same in each."""
        return value

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """The mean of each gradient over all processes, the same in each."""


class DistributedGroup(ProcessGroup):
    """One process of several, each on a device of its own.

    SAM is frozen: gradients are those of the added blocks alone, so one sum over all of them, after
    the way back, costs little. A wrapper that sums while going back would have to be told which
    parameters a phase leaves out.

    Args:
        rank: This process.
        count: How many there are.
        port: Where they meet.
        device: `cpu`, or a GPU of this process's own.
        host: The machine where they meet.
        local: This process's number on its machine; None: all are on one.
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
        """Ends the group: nothing is summed any more."""
        self._state.destroy_process_group()

    def sum(self, value: Tensor) -> Tensor:
        """The sum over all processes, the same in each."""
        from accelerate.utils import reduce

        total: Tensor = reduce(value, reduction="sum")
        return total

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """The mean of each gradient over all processes, the same in each."""
        gradients = [each.grad for each in parameters if each.grad is not None]
        flat = self.sum(torch.cat([each.reshape(-1) for each in gradients])) / self.count
        first = 0
        for gradient in gradients:
            gradient.copy_(flat[first : first + gradient.numel()].view_as(gradient))
            first += gradient.numel()
