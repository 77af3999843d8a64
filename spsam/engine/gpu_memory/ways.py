"""Which ways of computing a batch fit onto a GPU."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from spsam.config.schema import RunConfig
from spsam.engine.assemble import Spacing
from spsam.engine.gpu_memory.memory import GpuMemory, gpu_memory
from spsam.engine.training.measure import changed, ways


@dataclass(frozen=True)
class Way:
    """One way to compute a run's batches; none of them changes a result.

    Attributes:
        accumulate: Pieces of a batch, one after the other.
        checkpoint_activations: Whether the encoder's blocks are computed twice.
        fits: Whether that suffices.
        memory: What it takes.
        precision: Of the GPU.
    """

    accumulate: int
    checkpoint_activations: bool
    fits: bool
    memory: GpuMemory
    precision: str

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def ways_on_gpu(
    config: RunConfig,
    patch: tuple[int, int, int],
    devices: int,
    room: float,
    spacing: Spacing | None = None,
) -> list[Way]:
    """Tries the run's own way, then others from the fastest on, until one fits.

    Args:
        config: Of the run; `half` precision is the GPU's.
        patch: (D, H, W).
        devices: How many GPUs share a batch.
        room: Bytes that a GPU has.
        spacing: Of a voxel (z, y, x), mm, for a network that is planned from it.

    Returns:
        The ways tried; the last one fits, or none does.
    """
    config = config.model_copy(update={"arm": config.arm.on("cuda")})
    train = config.arm.train
    own = (train.accumulate, train.checkpoint_activations)
    tried: list[Way] = []
    for accumulate, twice in dict.fromkeys([own, *ways(train, devices)]):
        memory = gpu_memory(changed(config, accumulate, twice), patch, devices, spacing)
        fits = memory.peak <= room
        tried.append(Way(accumulate, twice, fits, memory, train.precision))
        if fits:
            break
    return tried
