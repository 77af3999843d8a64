"""Estimate of a run's memory and time on this machine's CPU, computed from its operations alone.

The network is executed on the meta device, which has shapes but no values. This takes seconds,
whereas steps of a network designed for a GPU could take minutes and more memory than available.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import psutil
import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from spsam.config.schema import RunConfig
from spsam.engine.assemble import Spacing, network_for, on_random_weights
from spsam.engine.training.loss import training_loss
from spsam.model.networks.base import Network
from spsam.model.sam.image_encoder import ImageEncoder

# Speed of a step relative to a matrix product on a CPU; 0.6 to 1 was measured.
_EFFICIENCY = 0.8
# Duration of the measurement of matrix products, seconds.
_TIMED = 0.2
# Peak memory of the backward pass relative to the saved activations; 1.5 to 2 was measured.
_PASSING = 1.75
# Bytes of code and workspaces that libraries load in the first step; 130 to 160 MB was measured.
_LIBRARIES = 150_000_000


@dataclass(frozen=True)
class Estimate:
    """Estimate of a training in float32 on a CPU.

    Attributes:
        peak: Bytes: weights, gradients, the optimiser's state, the backward pass of a piece of a
            batch, and libraries.
        free: Free memory of the machine, bytes.
        generator_step: Seconds of a step in the first phase.
        joint_step: Seconds of a step in the second phase.
        seconds: Seconds of all steps of the run.
    """

    peak: int
    free: int
    generator_step: float
    joint_step: float
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values."""
        return asdict(self)


def estimate(
    config: RunConfig, patch: tuple[int, int, int], spacing: Spacing | None = None
) -> Estimate:
    """Estimates memory and time of a run on this CPU without executing a step.

    Operations are counted exactly, and a matrix product is timed to measure the operations per
    second. The estimated time is correct within a factor of approximately two.

    Args:
        config: The run's configuration.
        patch: (D, H, W).
        spacing: Voxel spacing (z, y, x), mm, for a network that is planned from it.
    """
    train = config.arm.train
    piece = train.batch_size // train.accumulate
    random = config.model_copy(update={"arm": on_random_weights(config.arm)})
    with torch.device("meta"):
        network = network_for(random, patch, None, spacing).train()
        network.recompute(train.checkpoint_activations)
        image = torch.empty(piece, config.data.in_channels, *patch)
        label = torch.zeros(piece, *patch, dtype=torch.long)
    phases = (False, True)
    counts = [_step(network, image, label, config, decode=decode) for decode in phases]
    kept = max(each for _, each in counts)
    blocks = sum(len(each.blocks) for each in network.modules() if isinstance(each, ImageEncoder))
    if train.checkpoint_activations and blocks:
        # Of all blocks, the backward pass recomputes and holds one at a time.
        network.recompute(False)
        kept += (_step(network, image, label, config, decode=True)[1] - kept) // blocks
    rate = _EFFICIENCY * _operations_a_second()
    generator, joint = (train.accumulate * operations / rate for operations, _ in counts)
    trained = [parameter for _, parameter in network.trained_parameters()]
    first = train.generator_epochs * train.iterations
    return Estimate(
        peak=_bytes([*network.parameters(), *network.buffers()])
        + 2 * _bytes(trained)
        + int(_PASSING * kept)
        + _LIBRARIES,
        free=int(psutil.virtual_memory().available),
        generator_step=generator,
        joint_step=joint,
        seconds=first * generator + (train.steps - first) * joint,
    )


def _step(
    network: Network, image: Tensor, label: Tensor, config: RunConfig, *, decode: bool
) -> tuple[int, int]:
    """Returns the operations of a piece, forward and backward, and the bytes kept in between."""
    with FlopCounterMode(display=False) as counter, _kept(network) as kept:
        output = network(image, decode=decode)
        activation = network.mask_head.activation
        loss = training_loss(output, label, config.arm.train, activation)["total"]
        loss.backward()  # type: ignore[no-untyped-call]
    network.zero_grad(set_to_none=True)
    return int(counter.get_total_flops()), sum(kept.values())


@contextmanager
def _kept(network: Network) -> Iterator[dict[int, int]]:
    """Records the bytes kept for the backward pass by storage, without weights."""
    weights = {each.untyped_storage()._cdata for each in network.parameters()}
    held: list[torch.UntypedStorage] = []
    found: dict[int, int] = {}
    attention = _FusedAttention()

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if not attention.inside and storage._cdata not in weights:
            # Kept alive, so that no other storage reuses its address.
            held.append(storage)
            found[storage._cdata] = storage.nbytes()
        return tensor

    with attention, torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield found


class _FusedAttention(TorchFunctionMode):
    """Detects the computation of attention: its matrix is not stored by fused kernels."""

    inside = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is not functional.scaled_dot_product_attention:
            return func(*args, **(kwargs or {}))
        self.inside = True
        try:
            return func(*args, **(kwargs or {}))
        finally:
            self.inside = False


def _operations_a_second() -> float:
    """Measures the operations per second of a float32 matrix product, with a training's threads.

    CPU time is measured, which excludes the time of other processes.
    """
    side, rounds = 1024, 0
    one = torch.ones(side, side)
    one @ one
    began = time.process_time()
    while time.process_time() - began < _TIMED or rounds == 0:
        one @ one
        rounds += 1
    seconds = (time.process_time() - began) / torch.get_num_threads()
    return 2 * side**3 * rounds / seconds


def _bytes(tensors: Sequence[Tensor]) -> int:
    return sum(each.numel() * each.element_size() for each in tensors)
