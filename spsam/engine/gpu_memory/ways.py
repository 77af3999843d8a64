"""Selection of execution settings with which a batch fits on a GPU."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from spsam.config.schema import RunConfig
from spsam.engine.assemble import Spacing
from spsam.engine.gpu_memory.memory import GpuMemory, gpu_memory
from spsam.engine.training.measure import changed, ways


@dataclass(frozen=True)
class Way:
    """Execution settings of a run's batches; they do not affect the results.

    Attributes:
        accumulate: Number of pieces of a batch, computed in sequence.
        checkpoint_activations: Whether the backward pass recomputes the encoder's blocks.
        fits: Whether the memory is sufficient.
        memory: Required memory.
        precision: Precision on the GPU.
    """

    accumulate: int
    checkpoint_activations: bool
    fits: bool
    memory: GpuMemory
    precision: str

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values."""
        return asdict(self)


def ways_on_gpu(
    config: RunConfig,
    patch: tuple[int, int, int],
    devices: int,
    room: float,
    spacing: Spacing | None = None,
) -> list[Way]:
    """Tries the run's own settings, then others in the order of speed, until one fits.

    Args:
        config: The run's configuration; `half` is resolved to the GPU's precision.
        patch: (D, H, W).
        devices: Number of GPUs that share a batch.
        room: Memory of a GPU, bytes.
        spacing: Voxel spacing (z, y, x), mm, for a network that is planned from it.

    Returns:
        The settings that were tried; the last one fits, or none does.
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
