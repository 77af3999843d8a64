"""Number of tiles per forward pass: a fixed number, or as many as fit into free memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

from spsam.config.schema import InferenceConfig, TrainConfig
from spsam.data.files.memory import memory_at_hand, peak_resident

# Share of the free memory that may be used; the rest is left to other programs and the next volume.
_SHARE = 0.5
# Maximum number of tiles on a GPU; larger batches are not faster.
_MOST = 32
# Number of CPU threads per tile; one tile can use this many threads efficiently.
_CORES_A_TILE = 4


class TileBatch:
    """The number of tiles in the next forward pass.

    With `auto`, the first pass processes one tile and measures its memory. Later passes process as
    many tiles as fit into half of the free memory: at most 32 on a GPU, and one per four threads on
    a CPU. With `train.deterministic`, `auto` is one tile, because the rounding of results depends
    on the number of tiles.

    Args:
        inference: Configuration with `inference.batch_size`.
        train: Configuration with `train.deterministic`.
        device: Device of the network.
    """

    def __init__(
        self, inference: InferenceConfig, train: TrainConfig, device: torch.device
    ) -> None:
        self._device = device
        wanted: int | Literal["auto"] = inference.batch_size
        if wanted != "auto":
            self._most = wanted
        elif train.deterministic:
            self._most = 1
        else:
            threads = torch.get_num_threads()
            self._most = _MOST if device.type == "cuda" else max(1, threads // _CORES_A_TILE)
        # Bytes per tile; None: not measured yet; 0: not needed or already used.
        self._of_tile: int | None = None if wanted == "auto" and self._most > 1 else 0

    @property
    def size(self) -> int:
        """Number of tiles in the next pass."""
        if self._of_tile is None:
            return 1
        if self._of_tile:
            # Computed once, because the free memory is the same for all later passes.
            fitting = int(_SHARE * free_memory(self._device) / self._of_tile)
            self._most, self._of_tile = max(1, min(self._most, fitting)), 0
        return self._most

    def halve(self, count: int) -> None:
        """Limits later passes to half of `count` tiles, which did not fit into memory."""
        self._most = max(1, min(self._most, count // 2))

    @contextmanager
    def measured(self, least: int) -> Iterator[None]:
        """Measures the memory of the first tile, which is processed inside the context.

        Args:
            least: Lower bound of the bytes per tile.
        """
        if self._of_tile is not None:
            yield
            return
        before = _reset_peak(self._device)
        yield
        self._of_tile = max(least, _peak(self._device) - before)


def device_of_sums(device: torch.device, size: int) -> torch.device:
    """Returns the device that sums logits: the network's, or the CPU if the GPU lacks memory.

    Args:
        device: Device of the network.
        size: Size of the sums in bytes.
    """
    if device.type == "cuda" and size > _SHARE * free_memory(device):
        return torch.device("cpu")
    return device


def free_memory(device: torch.device) -> int:
    """Returns the free bytes of a device, including memory that torch has cached for reuse."""
    if device.type != "cuda":
        return memory_at_hand()
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(torch.cuda.mem_get_info(device)[0]) + kept


def _reset_peak(device: torch.device) -> int:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return int(torch.cuda.memory_allocated(device))
    return peak_resident()


def _peak(device: torch.device) -> int:
    return (
        int(torch.cuda.max_memory_allocated(device)) if device.type == "cuda" else peak_resident()
    )
