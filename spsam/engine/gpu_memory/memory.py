"""Memory and operations of a training on a GPU, computed from shapes alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from spsam.config.schema import RunConfig, TrainConfig
from spsam.engine.assemble import Spacing, network_for, on_random_weights
from spsam.engine.gpu_memory.as_on_gpu import AsOnGpu
from spsam.engine.gpu_memory.live_bytes import LiveBytes
from spsam.engine.gpu_memory.operations import Operations
from spsam.engine.predict import precision
from spsam.engine.training.loss import training_loss
from spsam.engine.training.train import execute_as
from spsam.model.networks.base import Network, Output
from spsam.model.networks.self_prompt_sam import SelfPromptSAM

CONTEXT, WORKSPACE, SPLIT = 0.6e9, 0.3e9, 0.05
"""Memory that is not in tensors, from experience with other networks; not measured here.

Bytes of a CUDA context with its loaded kernels, bytes of the workspaces of convolutions and matrix
products, and the share of the tensors' bytes that is lost to fragmentation.
"""


@dataclass(frozen=True)
class GpuMemory:
    """Memory of a training on one GPU, in bytes.

    Attributes:
        weights: Parameters and buffers, including SAM's.
        optimizer: State of the optimiser: momentum, or two moments.
        gradients: Gradients of the trained parameters.
        kept: Activations of one piece of a batch that are kept for the backward pass.
        kept_by_part: The same by part of the network, in the order of the forward pass.
        tensors: Peak of all tensors in a step.
        overhead: Context, workspaces and fragmentation.
        peak: Sum of `tensors` and `overhead`.
        operations: Operations of a step of the second phase, forward and backward; a multiply-add
            counts as two.
    """

    weights: int
    optimizer: int
    gradients: int
    kept: int
    kept_by_part: dict[str, int]
    tensors: int
    overhead: int
    peak: int
    operations: int

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values."""
        return asdict(self)


def gpu_memory(
    config: RunConfig,
    patch: tuple[int, int, int],
    devices: int = 1,
    spacing: Spacing | None = None,
) -> GpuMemory:
    """Computes the memory of a step of the second phase, which exceeds that of the first.

    Args:
        config: The run's configuration, with the precision of the GPU.
        patch: (D, H, W).
        devices: Number of GPUs that share a batch.
        spacing: Voxel spacing (z, y, x), mm, for a network that is planned from it.
    """
    train = config.arm.train
    own = train.batch_size // devices
    random = config.model_copy(update={"arm": on_random_weights(config.arm)})
    with torch.device("meta"):
        network = network_for(random, patch, None, spacing).train()
        execute_as(train.model_copy(update={"compile": False}), network)
        image = torch.empty(own, config.data.in_channels, *patch)
        label = torch.zeros(own, *patch, dtype=torch.long)
        state = _state(network, train)
    live = LiveBytes()
    live.count([*network.parameters(), *network.buffers()])
    weights = live.now
    live.count(state)
    optimizer = live.now - weights
    live.count([image, label])
    parts: dict[str, int] = {}
    counter = Operations()
    with counter, live:
        attention = _step(network, (image, label), train, live, parts)
    gradients = sum(_bytes(each.grad) for each in network.parameters() if each.grad is not None)
    overhead = int(CONTEXT + WORKSPACE + SPLIT * live.most)
    return GpuMemory(
        weights=weights,
        optimizer=optimizer,
        gradients=gradients,
        kept=sum(parts.values()),
        kept_by_part=parts,
        tensors=live.most,
        overhead=overhead,
        peak=live.most + overhead,
        operations=counter.count + attention,
    )


def _step(
    network: Network,
    batch: tuple[Tensor, Tensor],
    train: TrainConfig,
    live: LiveBytes,
    parts: dict[str, int],
) -> int:
    """Executes all pieces of a batch; returns the operations of attention."""
    attention = 0
    for some, its in zip(*(each.chunk(train.accumulate) for each in batch), strict=True):
        parts.clear()
        inside, outside = AsOnGpu(precision(train)), AsOnGpu(torch.float32)
        with inside:
            output = _forward(network, some, live, parts)
        with outside, _part("loss", live, parts):
            activation = network.mask_head.activation
            terms = training_loss(output, its, train, activation)
        # As in a training, tensors that no gradient needs are released before the backward pass.
        del output
        with inside:
            _backward(terms["total"])
        del terms
        attention += inside.attention
    return attention


def _forward(network: Network, image: Tensor, live: LiveBytes, parts: dict[str, int]) -> Output:
    if not isinstance(network, SelfPromptSAM):
        with _part("network", live, parts):
            output: Output = network(image)
        return output
    with _part("input_adapter", live, parts):
        slices = network.input_adapter(image)
    with _part("encoder", live, parts):
        maps = network.encode_slices(slices)
        del slices
    with _part("generator", live, parts):
        auxiliary = network.generate(maps)
    with _part("prompts", live, parts):
        prompts = network.prompts_of(auxiliary)
    with _part("decoder", live, parts):
        masks = network.decode(maps[-1], prompts)
        del maps
    with _part("head", live, parts):
        logits = network.mask_head(masks)
    return Output(logits, auxiliary, prompts)


def _backward(loss: Tensor) -> None:
    """Runs the backward pass within the active mode; otherwise like `loss.backward()`.

    Recomputed blocks are therefore emulated as on a GPU as well.
    """
    engine = torch.autograd.Variable._execution_engine
    start = (torch.ones_like(loss),)
    engine.run_backward(
        (loss,), start, False, False, (), allow_unreachable=True, accumulate_grad=True
    )


@contextmanager
def _part(name: str, live: LiveBytes, parts: dict[str, int]) -> Iterator[None]:
    before = live.now
    yield
    parts[name] = live.now - before


def _state(network: Network, train: TrainConfig) -> list[Tensor]:
    """Allocates the optimiser's state of each trained parameter."""
    each = 2 if train.optimizer.name == "adamw" else int(train.optimizer.momentum > 0)
    held = [parameter for _, parameter in network.trained_parameters()]
    return [torch.empty_like(parameter) for parameter in held for _ in range(each)]


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
