"""What a run would take on this machine's processor, worked out from its operations alone.

The network is run on the meta device, which knows shapes and has no numbers. That takes seconds,
where steps of a network made for a GPU would take minutes and more memory than there is.
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

# Of the rate of a product of matrices, what steps reach on a CPU: 0.6 to 1 in measured ones.
_EFFICIENCY = 0.8
# Seconds for which such a product is timed.
_TIMED = 0.2
# What passes through while gradients are computed, over what is kept for them: 1.5 to 2 measured.
_PASSING = 1.75


@dataclass(frozen=True)
class Estimate:
    """Of a training in float32 on a CPU.

    Attributes:
        peak: Bytes: weights, gradients, the optimiser's state and what a piece of a batch takes on
            the way back.
        free: Bytes that the machine has free.
        generator_step: Seconds of a step in the first phase.
        joint_step: Seconds of a step in the second phase.
        seconds: All steps of the run.
    """

    peak: int
    free: int
    generator_step: float
    joint_step: float
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def estimate(
    config: RunConfig, patch: tuple[int, int, int], spacing: Spacing | None = None
) -> Estimate:
    """Memory and time of a run on this processor, without taking a step.

    Operations are counted exactly; a product of matrices is timed to see how many this processor
    does in a second. Time is right within a factor of two or so.

    Args:
        config: Of the run.
        patch: (D, H, W).
        spacing: Of its voxels (z, y, x), mm, for a network that is planned from it.
    """
    train = config.arm.train
    piece = train.batch_size // train.accumulate
    random = config.model_copy(update={"arm": on_random_weights(config.arm)})
    with torch.device("meta"):
        network = network_for(random, patch, None, spacing).train()
        image = torch.empty(piece, config.data.in_channels, *patch)
        label = torch.zeros(piece, *patch, dtype=torch.long)
    counts = [_step(network, image, label, config, decode=decode) for decode in (False, True)]
    rate = _EFFICIENCY * _operations_a_second()
    generator, joint = (train.accumulate * operations / rate for operations, _ in counts)
    trained = [parameter for _, parameter in network.trained_parameters()]
    first = train.generator_epochs * train.iterations
    return Estimate(
        peak=_bytes([*network.parameters(), *network.buffers()])
        + 2 * _bytes(trained)
        + int(_PASSING * max(kept for _, kept in counts)),
        free=int(psutil.virtual_memory().available),
        generator_step=generator,
        joint_step=joint,
        seconds=first * generator + (train.epochs * train.iterations - first) * joint,
    )


def _step(
    network: Network, image: Tensor, label: Tensor, config: RunConfig, *, decode: bool
) -> tuple[int, int]:
    """Operations of a piece, forward and backward, and bytes kept between the two."""
    with FlopCounterMode(display=False) as counter, _kept(network) as kept:
        output = network(image, decode=decode)
        activation = network.mask_head.activation
        loss = training_loss(output, label, config.arm.train, activation)["total"]
        loss.backward()  # type: ignore[no-untyped-call]
    network.zero_grad(set_to_none=True)
    return int(counter.get_total_flops()), sum(kept.values())


@contextmanager
def _kept(network: Network) -> Iterator[dict[int, int]]:
    """Bytes by storage of what is kept for the way back, weights left out."""
    weights = {each.untyped_storage()._cdata for each in network.parameters()}
    held: list[torch.UntypedStorage] = []
    found: dict[int, int] = {}
    attention = _FusedAttention()

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if not attention.inside and storage._cdata not in weights:
            # Held, so that no other storage gets its number.
            held.append(storage)
            found[storage._cdata] = storage.nbytes()
        return tensor

    with attention, torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield found


class _FusedAttention(TorchFunctionMode):
    """Knows when attention is computed: here by its matrix, which fused kernels do not keep."""

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
    """Of a product of two matrices in float32, with the threads that training would have.

    By the processor's time, which does not count what else the machine does.
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
