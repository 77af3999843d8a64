"""How many tiles a network gets at once: a fixed number, or as many as memory holds."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

from spsam.config.schema import InferenceConfig, TrainConfig
from spsam.data.files.memory import memory_at_hand

# Of free memory; the rest is for what other programs and further volumes take meanwhile.
_SHARE = 0.5
# More tiles at once make no GPU faster.
_MOST = 32
# A few cores share the work of one tile well.
_CORES_A_TILE = 4


class TileBatch:
    """The number of tiles of the next call of a network.

    `auto` begins with one tile, whose memory is measured, and then takes as many as half of the
    free memory holds: at most 32 on a GPU, and one for every four threads on a CPU. With
    `train.deterministic` it stays at one, since results depend on the number by rounding.

    Args:
        inference: For `inference.batch_size`.
        train: For `train.deterministic`.
        device: Where the network computes.
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
        # Unknown until a tile was measured.
        self._of_tile: int | None = None if wanted == "auto" and self._most > 1 else 0

    @property
    def size(self) -> int:
        """How many tiles are next."""
        if self._of_tile is None:
            return 1
        if self._of_tile:
            # Once: what the first tile left free is the same for all that follow.
            fitting = int(_SHARE * free_memory(self._device) / self._of_tile)
            self._most, self._of_tile = max(1, min(self._most, fitting)), 0
        return self._most

    def halve(self, count: int) -> None:
        """So many tiles did not fit: the next calls get at most half of them."""
        self._most = max(1, min(self._most, count // 2))

    @contextmanager
    def measured(self, least: int) -> Iterator[None]:
        """Measures the first tile's memory.

        Args:
            least: Bytes that a tile takes in any case.
        """
        if self._of_tile is not None:
            yield
            return
        before = _reset_peak(self._device)
        yield
        self._of_tile = max(least, _peak(self._device) - before)


def device_of_sums(device: torch.device, size: int) -> torch.device:
    """Where logits are added up: where the network computes, or on the CPU if a GPU is too small.

    Args:
        device: Where the network computes.
        size: Bytes of the sums.
    """
    if device.type == "cuda" and size > _SHARE * free_memory(device):
        return torch.device("cpu")
    return device


def free_memory(device: torch.device) -> int:
    """Bytes that tensors on a device may still take, those included that torch keeps unused."""
    if device.type != "cuda":
        return memory_at_hand()
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(torch.cuda.mem_get_info(device)[0]) + kept


def _reset_peak(device: torch.device) -> int:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return int(torch.cuda.memory_allocated(device))
    return _resident_peak()


def _peak(device: torch.device) -> int:
    return (
        int(torch.cuda.max_memory_allocated(device)) if device.type == "cuda" else _resident_peak()
    )


def _resident_peak() -> int:
    """The most that the process ever held, bytes; 0 where that is not known."""
    if sys.platform == "win32":
        return 0
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
