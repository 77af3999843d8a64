"""Cost of a run: operations, time, memory."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from spsam.config.schema import TrainConfig
from spsam.data.files.memory import peak_resident
from spsam.engine.predict import autocast
from spsam.model.networks.base import Network

_CLEAR = Path("/proc/self/clear_refs")


def gigaflops(network: Network, in_channels: int, train: TrainConfig) -> float:
    """Counts 10⁹ floating-point operations of one patch's forward pass; a multiply-add is two.

    Args:
        network: The network; set to evaluation mode.
        in_channels: M, number of image modalities.
        train: Precision.
    """
    device = next(network.parameters()).device
    patch = torch.zeros(1, in_channels, network.depth, *network.image_size, device=device)
    network.eval()
    with torch.no_grad(), autocast(device, train), FlopCounterMode(display=False) as counter:
        network(patch)
    return round(int(counter.get_total_flops()) / 1e9, 3)


def step_seconds(
    epochs: Iterable[Mapping[str, float]], generator_epochs: int
) -> dict[str, float | None]:
    """Computes the seconds of a step in each phase, without the generation of patches.

    The value is the median of the epochs' means.

    Args:
        epochs: Lines of `metrics.jsonl`, which survive interruptions.
        generator_epochs: Number of epochs that train the prompt generator alone.

    Returns:
        `generator` and `joint`; None for a phase without epochs.
    """
    phases: dict[str, list[float]] = {"generator": [], "joint": []}
    for metrics in epochs:
        if "step_seconds" in metrics:
            phase = "generator" if metrics["epoch"] < generator_epochs else "joint"
            phases[phase].append(metrics["step_seconds"])
    return {
        name: round(statistics.median(values), 6) if values else None
        for name, values in phases.items()
    }


class PeakMemory:
    """Peak memory since the creation of this object.

    Args:
        device: Device of the run.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            self._of = "device"
        else:
            self._of = "process" if _forget_peak() else "process, since it began"

    def read(self) -> dict[str, Any]:
        """Returns `peak_memory_bytes`, and its meaning as `peak_memory_of`.

        `device`: memory allocated by torch on a GPU; `process`: resident memory of the process.
        """
        if self._device.type == "cuda":
            size = torch.cuda.max_memory_allocated(self._device)
        else:
            size = peak_resident()
        return {"peak_memory_bytes": size, "peak_memory_of": self._of}


def larger(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Selects the larger of two readings of an interrupted run.

    Args:
        first: Result of `PeakMemory.read`; may be empty.
        second: Result of `PeakMemory.read`.
    """
    name = "peak_memory_bytes"
    chosen = first if first.get(name, 0) > second[name] else second
    return {key: chosen[key] for key in (name, "peak_memory_of")}


def _forget_peak() -> bool:
    """Resets the process's peak memory on Linux, so that runs in one process do not share it."""
    try:
        _CLEAR.write_text("5", encoding="utf-8")
    except OSError:
        return False
    return True
