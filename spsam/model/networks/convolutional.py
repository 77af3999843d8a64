"""Base class of convolutional networks: patches of any size, supported precision."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor
from torch.nn import functional

from spsam.model.networks.base import Network, Output

Net = Callable[[Tensor], Tensor | Sequence[Tensor]]


def exact_on_cpu(images: Tensor) -> AbstractContextManager[None]:
    """Leaves autocast on a CPU.

    oneDNN's gradients of spatial convolutions are wrong in bf16 where a map has fewer slices than
    the kernel, which deep maps have.
    """
    if images.device.type == "cpu":
        return torch.autocast("cpu", enabled=False)
    return nullcontext()


class ConvolutionalNetwork(Network):
    """A network with strides: pads patches to a multiple of them and crops the logits.

    What is added behind the patch is zero, as outside a volume.

    Args:
        num_classes: K, background included.
        depth: D, slices of a patch.
        image_size: (H, W), pixels.
        multiple: What each of the network's axes has to be divisible by: two for a planar network,
            which takes each slice by itself, three for a spatial one.
    """

    def __init__(
        self, num_classes: int, depth: int, image_size: tuple[int, int], multiple: Sequence[int]
    ) -> None:
        super().__init__(num_classes, depth, image_size)
        self.multiple = tuple(multiple)

    @property
    def spatial(self) -> bool:
        """Whether it goes through slices."""
        return len(self.multiple) == 3

    def padded_size(self) -> tuple[int, ...]:
        """The patch as the network gets it, pixels."""
        size = (self.depth, *self.image_size)[-len(self.multiple) :]
        return tuple(-(-s // m) * m for s, m in zip(size, self.multiple, strict=True))

    def segment(self, net: Net, volume: Tensor) -> Output:
        """Runs a network on a batch of patches.

        Args:
            net: From `(n, M, h, w)` or `(n, M, d, h, w)` to logits of the same size, or to logits
                of several sizes, finest first.
            volume: `(B, M, D, H, W)`.

        Raises:
            ValueError: If the volume's depth or size is not what the network was built for.
        """
        self.check(volume)
        batch, _, depth = volume.shape[:3]
        images = volume if self.spatial else volume.transpose(1, 2).flatten(0, 1)
        logits, *deeper = self._cut(net, images)
        if not self.spatial:
            logits, *deeper = (
                x.reshape(batch, depth, *x.shape[1:]).transpose(1, 2) for x in (logits, *deeper)
            )
        return Output(logits, deeper=deeper)

    def precision(self, images: Tensor) -> AbstractContextManager[None]:
        """The context of the forward pass."""
        return exact_on_cpu(images)

    def _cut(self, net: Net, images: Tensor) -> list[Tensor]:
        size = images.shape[2:]
        missing = [-extent % multiple for extent, multiple in zip(size, self.multiple, strict=True)]
        margins = [part for after in reversed(missing) for part in (0, after)]
        with self.precision(images):
            whole = functional.pad(images, margins)
            found = net(whole)
        levels = [found] if isinstance(found, Tensor) else list(found)
        cut = []
        for level in levels:
            for axis, extent in enumerate(size, start=2):
                stride = whole.shape[axis] // level.shape[axis]
                level = level.narrow(axis, 0, -(-extent // stride))  # noqa: PLW2901
            cut.append(level)
        return cut
