"""What the engine trains and asks: Self-Prompt SAM, or a plain network to compare it with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from torch import Tensor, nn

from spsam.model.counting import count_parameters
from spsam.model.mask_heads.base import MaskHead
from spsam.model.prompts.base import Prompts


@dataclass(frozen=True)
class Output:
    """What one forward pass gives.

    Attributes:
        logits: `(B, K, D, H, W)` final logits of the mask head, background first; None where the
            decoder was not run.
        auxiliary: The prompt generator's logits, finest `(B, K, D, H, W)` first, each further one
            at a lower resolution in the plane; empty for a network without one.
        prompts: The points, boxes and masks given to SAM; None where the decoder was not run.
        name: The mask head's `labels`, from logits to class indices; None where no head made them.
    """

    logits: Tensor | None
    auxiliary: list[Tensor]
    prompts: Prompts | None
    name: Callable[[Tensor], Tensor] | None = field(default=None, repr=False, compare=False)

    @property
    def labels(self) -> Tensor:
        """`(B, D, H, W)` class indices, int64; made of the logits each time they are asked for.

        Raises:
            ValueError: If the decoder was not run, so that there are no logits.
        """
        if self.logits is None or self.name is None:
            raise ValueError("there are no labels: the network was called with decode=False")
        return self.name(self.logits)


class Segmenter(nn.Module, ABC):
    """A network for patches of one size.

    Attributes:
        depth: D, slices of a patch.
        image_size: `(H, W)`, the patch in the plane, pixels.
        mask_head: Says what the logits mean.
    """

    depth: int
    image_size: tuple[int, int]
    mask_head: MaskHead

    @abstractmethod
    def blocks(self) -> dict[str, nn.Module]:
        """The modules that train, by name, in the order of the forward pass.

        One with an attribute `lr_mult` trains at that multiple of the learning rate.
        """

    @abstractmethod
    def forward(self, volume: Tensor, *, decode: bool = True) -> Output:
        """Segments a batch of patches.

        Args:
            volume: `(B, M, D, H, W)` normalised intensities.
            decode: False runs the prompt generator alone (training's first phase), where there is
                one.

        Raises:
            ValueError: If the volume's depth or size is not what the network was built for.
        """

    def parameter_groups(self) -> dict[str, int]:
        """How many parameters each block trains, by name."""
        return count_parameters(self.blocks())

    def trained_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Names and parameters of the blocks; frozen ones are not among them."""
        for name, block in self.blocks().items():
            yield from block.named_parameters(prefix=name)

    def check(self, volume: Tensor) -> None:
        """Refuses a volume of another size.

        Raises:
            ValueError: If the volume's depth or size is not what the network was built for.
        """
        expected = (self.depth, *self.image_size)
        if volume.ndim != 5 or tuple(volume.shape[2:]) != expected:
            raise ValueError(
                f"expected a volume (B, M, D, H, W) with D, H, W = {expected}, "
                f"got {tuple(volume.shape)}; build the network for that depth and image_size"
            )
