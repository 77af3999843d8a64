"""Base class of convolutional networks: padding to a supported size, and precision."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor
from torch.nn import functional

from spsam.model.networks.base import Network, Output

Net = Callable[[Tensor], Tensor | Sequence[Tensor]]


def exact_on_cpu(images: Tensor) -> AbstractContextManager[None]:
    """Returns a context that disables autocast on a CPU.

    oneDNN's bf16 gradients of 3D convolutions are wrong if a map has fewer slices than the kernel,
    as the deeper maps do.
    """
    if images.device.type == "cpu":
        return torch.autocast("cpu", enabled=False)
    return nullcontext()


class ConvolutionalNetwork(Network):
    """A network with strides: pads patches to a multiple of them and crops the logits.

    Padding is added at the end of each axis and is zero, as outside a volume.

    Args:
        num_classes: K, number of classes including the background.
        depth: D, number of slices in a patch.
        image_size: (H, W), in-plane size of the patch, pixels.
        multiple: Required divisor of each of the network's axes: two values for a 2D network, which
            segments slices independently, three for a 3D network.
    """

    def __init__(
        self, num_classes: int, depth: int, image_size: tuple[int, int], multiple: Sequence[int]
    ) -> None:
        super().__init__(num_classes, depth, image_size)
        self.multiple = tuple(multiple)

    @property
    def spatial(self) -> bool:
        """Whether the network is 3D, with operations across slices."""
        return len(self.multiple) == 3

    def padded_size(self) -> tuple[int, ...]:
        """Returns the size of the padded patch, in pixels; two axes for a 2D network."""
        size = (self.depth, *self.image_size)[-len(self.multiple) :]
        return tuple(-(-s // m) * m for s, m in zip(size, self.multiple, strict=True))

    def segment(self, net: Net, volume: Tensor) -> Output:
        """Applies a network to a batch of patches.

        Args:
            net: Maps `(n, M, h, w)` or `(n, M, d, h, w)` to logits of the same size, or to logits
                of several sizes, finest first.
            volume: `(B, M, D, H, W)`.

        Returns:
            Logits `(B, K, D, H, W)`, and `deeper` if the network returns several sizes.

        Raises:
            ValueError: If the network was built for another depth or in-plane size.
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
        """Returns the autocast context of the forward pass."""
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
