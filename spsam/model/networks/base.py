"""Base class of networks and their output."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from typing_extensions import Self

from spsam.model.counting import count_parameters
from spsam.model.mask_heads.base import MaskHead
from spsam.model.mask_heads.softmax import SoftmaxHead

if TYPE_CHECKING:
    from spsam.model.prompts.base import Prompts

CAST_BY_AUTOCAST = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
"""SAM's layers that autocast computes in lower precision."""


@dataclass(frozen=True)
class Output:
    """Output of one forward pass.

    Attributes:
        logits: `(B, K, D, H, W)` final logits, background first; None if the decoder was skipped.
        auxiliary: Logits of the prompt generator, finest `(B, K, D, H, W)` first, the others at
            lower in-plane resolutions; empty for a network without a prompt generator.
        prompts: The points, boxes and masks passed to SAM; None without prompts.
        deeper: Further final logits at lower resolutions for deep supervision, finer ones first.
            Their losses are added with the weights of `train.deep_supervision`.
        name: The mask head's `labels`, which converts logits to class indices; set by the base
            class.
    """

    logits: Tensor | None
    auxiliary: list[Tensor] = field(default_factory=list)
    prompts: Prompts | None = None
    deeper: list[Tensor] = field(default_factory=list)
    name: Callable[[Tensor], Tensor] | None = field(default=None, repr=False, compare=False)

    @property
    def labels(self) -> Tensor:
        """Class indices `(B, D, H, W)`, int64; computed from the logits on each access.

        Raises:
            ValueError: If the decoder was skipped, so that there are no logits.
        """
        if self.logits is None or self.name is None:
            raise ValueError("the output has no labels: the network was called with decode=False")
        return self.name(self.logits)


class Network(nn.Module, ABC):
    """A network for patches of one size.

    The parameters of `__init__` declare the network's inputs, and the engine passes them by name:
    `in_channels` (M), `num_classes` (K, including the background), `depth` (D), `image_size`
    (H, W), `spacing` (of the patch, mm), SAM's `image_encoder` and `mask_decoder`, and the
    component of each slot of `blocks:` by the slot's name. Keyword-only parameters can be set in
    YAML.

    Args:
        num_classes: K, number of classes including the background.
        depth: D, number of slices in a patch.
        image_size: (H, W), in-plane size of the patch, pixels.

    Attributes:
        depth: D.
        image_size: (H, W).
        mask_head: Defines the meaning of the logits; a softmax by default.
        trains_sam: Whether some of SAM's own weights are trained.
    """

    trains_sam: ClassVar[bool] = False

    depth: int
    image_size: tuple[int, int]
    mask_head: MaskHead

    def __init__(self, num_classes: int, depth: int, image_size: tuple[int, int]) -> None:
        super().__init__()
        self.depth, self.image_size = depth, image_size
        self.mask_head = SoftmaxHead(num_classes)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Calls `forward` and attaches the mask head's labelling to the output.

        A result that is not an `Output` is returned unchanged; building the network rejects it.
        """
        output = super().__call__(*args, **kwargs)
        if not isinstance(output, Output):
            return output
        return replace(output, name=self.mask_head.labels)

    @abstractmethod
    def forward(self, volume: Tensor, *, decode: bool = True) -> Output:
        """Segments a batch of patches.

        Args:
            volume: `(B, M, D, H, W)` normalised intensities.
            decode: False runs the prompt generator alone, as in the first phase of training.
                Networks without a prompt generator ignore it.

        Returns:
            See `Output`.

        Raises:
            ValueError: If the network was built for another depth or in-plane size.
        """

    def blocks(self) -> dict[str, nn.Module]:
        """Returns the trained modules by name, in the order of the forward pass.

        These are all children with parameters that are not frozen. A child with an attribute
        `lr_mult` is trained at that multiple of the learning rate.
        """
        frozen = self.frozen()
        return {
            name: child
            for name, child in self.named_children()
            if child not in frozen and any(True for _ in child.parameters())
        }

    def frozen(self) -> tuple[nn.Module, ...]:
        """Returns the modules that are never trained; checkpoints do not contain them."""
        return ()

    def parameter_groups(self) -> dict[str, int]:
        """Returns the number of trained parameters of each block, by name."""
        return count_parameters(self.blocks())

    def trained_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Iterates over names and parameters of the trained blocks."""
        for name, block in self.blocks().items():
            yield from block.named_parameters(prefix=name)

    def unaccounted(self) -> list[str]:
        """Returns names of parameters that are neither in a block nor frozen, which is a bug."""
        known = {id(each) for block in self.blocks().values() for each in block.parameters()}
        known |= {id(each) for module in self.frozen() for each in module.parameters()}
        return [name for name, each in self.named_parameters() if id(each) not in known]

    def train(self, mode: bool = True) -> Self:
        """Sets the blocks to training mode; frozen modules stay in evaluation mode."""
        super().train(mode)
        for module in self.frozen():
            module.eval()
        return self

    def freeze_in(self, precision: torch.dtype) -> Self:
        """Stores frozen weights in the type in which autocast computes: same results, less time.

        Autocast casts weights that are not trained at every use. Norms, embeddings and absolute
        positions stay in float32, because autocast uses them in float32. The conversion cannot be
        undone.

        Args:
            precision: Type of the autocast under which the network is called from now on.
        """
        for part in self.frozen():
            for module in part.modules():
                if isinstance(module, CAST_BY_AUTOCAST):
                    module.to(precision)
        return self

    def recompute(self, twice: bool) -> None:
        """Sets whether the backward pass recomputes the blocks of SAM's encoder.

        Args:
            twice: Whether blocks are computed twice instead of keeping their activations.
        """
        for module in self.modules():
            if hasattr(module, "checkpointed"):
                module.checkpointed = twice  # type: ignore[assignment]

    def parts_to_compile(self) -> list[nn.Module]:
        """Returns the modules that `train.compile` compiles."""
        return [self]

    def check(self, volume: Tensor) -> None:
        """Rejects a volume of another size.

        Raises:
            ValueError: If the network was built for another depth or in-plane size.
        """
        expected = (self.depth, *self.image_size)
        if volume.ndim != 5 or tuple(volume.shape[2:]) != expected:
            raise ValueError(
                f"expected a volume (B, M, D, H, W) with D, H, W = {expected}, "
                f"got {tuple(volume.shape)}; build the network for that depth and image_size"
            )
