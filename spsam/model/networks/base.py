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
"""SAM's layers that autocast computes in its own type."""


@dataclass(frozen=True)
class Output:
    """Output of one forward pass.

    Attributes:
        logits: `(B, K, D, H, W)` final logits, background first; None if the decoder was skipped.
        auxiliary: Logits of the prompt generator, finest `(B, K, D, H, W)` first, the others at
            lower in-plane resolutions; empty for a network without a prompt generator.
        prompts: The points, boxes and masks passed to SAM; None without prompts.
        deeper: Deep supervision: further final logits at lower resolutions, finer ones first. They
            join the loss of `logits` with the weights of `train.deep_supervision`.
        name: The mask head's `labels`, from logits to class indices; set by the base class.
    """

    logits: Tensor | None
    auxiliary: list[Tensor] = field(default_factory=list)
    prompts: Prompts | None = None
    deeper: list[Tensor] = field(default_factory=list)
    name: Callable[[Tensor], Tensor] | None = field(default=None, repr=False, compare=False)

    @property
    def labels(self) -> Tensor:
        """`(B, D, H, W)` class indices, int64; computed from the logits on each access.

        Raises:
            ValueError: If the decoder was skipped, so that there are no logits.
        """
        if self.logits is None or self.name is None:
            raise ValueError("there are no labels: the network was called with decode=False")
        return self.name(self.logits)


class Network(nn.Module, ABC):
    """A network for patches of one size.

    The parameters of `__init__` declare what the network needs, and the engine passes them:
    `in_channels` (M), `num_classes` (K, background included), `depth` (D), `image_size` (H, W),
    `spacing` (the patch's, mm), SAM's `image_encoder` and `mask_decoder`, and the component of a
    slot of `blocks:` by the slot's name. Keyword-only parameters can be set in YAML.

    Args:
        num_classes: K, background included.
        depth: D, slices of a patch.
        image_size: (H, W), in-plane size of the patch, pixels.

    Attributes:
        depth: D.
        image_size: `(H, W)`.
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
        """Calls `forward`; the output of any network knows how its logits are named.

        What is no `Output` stays as it is, for whoever builds the network to refuse.
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
            decode: False runs the prompt generator alone (the first phase of training); networks
                without one ignore it.

        Raises:
            ValueError: If the volume's depth or size is not what the network was built for.
        """

    def blocks(self) -> dict[str, nn.Module]:
        """The modules that train, by name, in the order of the forward pass.

        All children with parameters that are not frozen. A child with an attribute `lr_mult`
        trains at that multiple of the learning rate.
        """
        frozen = self.frozen()
        return {
            name: child
            for name, child in self.named_children()
            if child not in frozen and any(True for _ in child.parameters())
        }

    def frozen(self) -> tuple[nn.Module, ...]:
        """The modules that never train; checkpoints do not contain them."""
        return ()

    def parameter_groups(self) -> dict[str, int]:
        """Number of trained parameters of each block, by name."""
        return count_parameters(self.blocks())

    def trained_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Names and parameters of the trained blocks."""
        for name, block in self.blocks().items():
            yield from block.named_parameters(prefix=name)

    def unaccounted(self) -> list[str]:
        """Names of parameters that are neither in a block nor frozen: a bug of the class."""
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
        """Keeps frozen weights in the type that autocast computes in: the same results, sooner.

        Autocast casts weights that do not train anew at every use. Norms, embeddings and absolute
        positions stay in float32, in which autocast takes them. For good: the digits are gone.

        Args:
            precision: The type of the autocast that the network is called under from now on.
        """
        for part in self.frozen():
            for module in part.modules():
                if isinstance(module, CAST_BY_AUTOCAST):
                    module.to(precision)
        return self

    def recompute(self, twice: bool) -> None:
        """Sets whether the blocks of SAM's encoder are computed twice instead of kept."""
        for module in self.modules():
            if hasattr(module, "checkpointed"):
                module.checkpointed = twice  # type: ignore[assignment]

    def parts_to_compile(self) -> list[nn.Module]:
        """What `train.compile` compiles."""
        return [self]

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
