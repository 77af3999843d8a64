"""What a run costs: operations, time, memory."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import psutil
import torch
from torch.utils.flop_counter import FlopCounterMode

from spsam.config.schema import TrainConfig
from spsam.engine.predict import autocast
from spsam.model.networks.base import Network

_CLEAR = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")


def gigaflops(network: Network, in_channels: int, train: TrainConfig) -> float:
    """10⁹ floating-point operations of one forward pass of one patch; a multiply-add counts two.

    Args:
        network: Left in evaluation mode.
        in_channels: M.
        train: For the precision.
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
    """Seconds of an optimiser step in each phase, without the making of patches: a median of means.

    Args:
        epochs: The lines of `metrics.jsonl`; what is there has survived interruptions.
        generator_epochs: How many of them train the prompt generator alone.

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
    """The most memory in use since this object was made.

    Args:
        device: Where the run computes.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            self._of = "device"
        else:
            self._of = "process" if _forget_peak() else "process, since it began"

    def read(self) -> dict[str, Any]:
        """`peak_memory_bytes`, and `peak_memory_of` what.

        `device`: what torch allocated on a GPU; `process`: what was resident.
        """
        if self._device.type == "cuda":
            size = torch.cuda.max_memory_allocated(self._device)
        else:
            size = _peak_resident()
        return {"peak_memory_bytes": size, "peak_memory_of": self._of}


def larger(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Of two readings the larger one: an interrupted run has several. The first may be empty."""
    name = "peak_memory_bytes"
    chosen = first if first.get(name, 0) > second[name] else second
    return {key: chosen[key] for key in (name, "peak_memory_of")}


def _forget_peak() -> bool:
    """Linux forgets a process's peak when told so: runs of one process must not share theirs."""
    try:
        _CLEAR.write_text("5", encoding="utf-8")
    except OSError:
        return False
    return True


def _peak_resident() -> int:
    """Bytes."""
    try:
        for line in _STATUS.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    if sys.platform == "win32":
        used = psutil.Process().memory_info()
        return int(getattr(used, "peak_wset", used.rss))
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
