"""The paper's multi-scale prompt generator."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, Literal, TypeGuard

from torch import Tensor, nn

from spsam.errors import nearest, require
from spsam.model.kernels.composed_doubling import composing_pays, convolve_doubled
from spsam.model.layers import (
    Conv3d,
    InstanceNorm,
    LeakyReLU,
    conv_block,
    doubling,
    join,
    resize_in_plane,
)
from spsam.model.prompt_generators.base import PromptGenerator

DIVISORS = (1, 2, 2, 4, 4)
"""Divisors of C for the levels: SAM's C = 256 results in the widths 256, 128, 128, 64, 64."""

JOININGS = ("concat", "sum")
"""How a tap is combined with the upsampled map of the level below."""


class MSPGenerator(PromptGenerator):
    """Upsamples the neck's output to the patch's resolution and joins a tap after every doubling.

    Level 0 convolves the neck's output on the token grid. Level j doubles the plane of level j-1 by
    a transposed convolution, concatenates the next shallower tap, which its own layers project and
    double j times, and convolves the result. The last level receives all remaining taps. If there
    are more levels than taps, the further levels only double and convolve. A 1×1 convolution on
    every level predicts its logits (paper's Sec. 2.3, Fig. 2c).

    The last level works at the patch's own resolution and accounts for half of the generator's
    computation. With `finest` 2 or 4, the generator stops at a lower resolution, and a bilinear
    resize follows. For comparison, a pixel of SAM ViT-B's own masks covers 4×4 input pixels.

    Args:
        tap_dims: Channels of the encoder's feature maps (taps), shallow first.
        neck_dim: C, channels of the neck's output.
        grid: (gh, gw), size of the token grid.
        num_classes: K, number of classes including the background.
        image_size: (H, W), in-plane size of the patch, pixels.
        widths: Channels of the levels, level 0 first; the last value applies to all further levels.
            None: C, C/2, C/2, C/4, C/4.
        kernel: Odd sizes (depth, height, width) of the convolutions.
        convs: Number of convolutions per level, each with instance norm and LeakyReLU.
        finest: Pixel size of the last level in pixels of the patch: 1, 2, 4, …, rounded down to a
            size that doublings of the grid reach.
        joining: How a tap is combined with the upsampled map: `concat`, concatenated as in the
            paper, or `sum`, added, so that the convolution has half or a third of the input
            channels.
    """

    def __init__(
        self,
        tap_dims: tuple[int, ...],
        neck_dim: int,
        grid: tuple[int, int],
        num_classes: int,
        image_size: tuple[int, int],
        *,
        widths: tuple[int, ...] | None = None,
        kernel: tuple[int, int, int] = (3, 3, 3),
        convs: int = 1,
        finest: int = 1,
        joining: Literal["concat", "sum"] = "concat",
    ) -> None:
        super().__init__(tap_dims, neck_dim, grid, num_classes, image_size)
        if widths is None:
            widths = tuple(max(1, neck_dim // divisor) for divisor in DIVISORS)
        _check(widths, kernel, convs, finest, joining)
        self.joining = joining
        # Disabled only to measure how much this saves.
        self.composed = True
        steps = max(doublings(grid, image_size) - (finest.bit_length() - 1), 0)
        self.taps_of_level = assign_taps(len(tap_dims), steps)
        self.ups, self.skips = nn.ModuleList(), nn.ModuleList()
        self.stages, self.heads = nn.ModuleList(), nn.ModuleList()
        below = neck_dim
        for level, taps in enumerate(self.taps_of_level):
            width = widths[min(level, len(widths) - 1)]
            own = width if level else below
            joining_width = width if joining == "concat" else own
            self.skips.append(
                nn.ModuleList(_skip(tap_dims[tap], joining_width, level) for tap in taps)
            )
            self.ups.append(doubling(below, width) if level else nn.Identity())
            joined = own + width * len(taps) if joining == "concat" else own
            self.stages.append(_stage(joined, width, kernel, convs))
            self.heads.append(Conv3d(width, num_classes, 1))
            below = width

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Predicts logits, finest first, from the encoder's feature maps.

        Args:
            maps: `(B, C_i, D, gh, gw)` each: the taps, shallow first, then the neck's output.

        Returns:
            `(B, K, D, H, W)`, then `(B, K, D, h, w)` at lower resolutions.
        """
        *taps, x = maps
        logits: list[Tensor] = []
        levels: Iterable[Any] = zip(
            self.taps_of_level, self.ups, self.skips, self.stages, self.heads, strict=True
        )
        for indices, up, skips, stage, head in levels:
            convolution, *rest = chain(*stage)
            x = self._merged(up, x, skips, [taps[index] for index in indices], convolution)
            x = _run(rest, x)
            logits.append(head(x))
        logits[-1] = resize_in_plane(logits[-1], self.image_size)
        return logits[::-1]

    def _merged(
        self,
        up: nn.Module,
        x: Tensor,
        skips: Iterable[nn.Sequential],
        taps: Sequence[Tensor],
        convolution: Conv3d,
    ) -> Tensor:
        """Computes `convolution(join([up(x), skip(tap), ...]))`.

        The doublings are composed with the convolution if that requires fewer multiplications.
        """
        ways = [list(skip) for skip in skips]
        doublings = [up, *(way[-1] for way in ways)]
        if (
            self.composed
            and _are_doublings(doublings)
            and composing_pays(doublings, convolution, x[:, 0].numel())
        ):
            before = [_run(way[:-1], tap) for way, tap in zip(ways, taps, strict=True)]
            added = self.joining == "sum"
            return convolve_doubled([x, *before], doublings, convolution, added=added)
        doubled = [skip(tap) for skip, tap in zip(skips, taps, strict=True)]
        result: Tensor = convolution(join([up(x), *doubled], self.joining))
        return result


def _are_doublings(layers: list[nn.Module]) -> TypeGuard[list[nn.ConvTranspose3d]]:
    """Checks whether all layers are transposed convolutions; level 0 does not double."""
    return all(isinstance(layer, nn.ConvTranspose3d) for layer in layers)


def _run(layers: Iterable[nn.Module], x: Tensor) -> Tensor:
    for layer in layers:
        x = layer(x)
    return x


def doublings(grid: tuple[int, int], image_size: tuple[int, int]) -> int:
    """Counts the doublings of the grid until both axes are at least as large as the patch.

    Args:
        grid: (gh, gw), size of the token grid.
        image_size: (H, W), in-plane size of the patch, pixels.
    """
    factor = max(-(-image // tokens) for image, tokens in zip(image_size, grid, strict=True))
    return (factor - 1).bit_length()


def assign_taps(num_taps: int, steps: int) -> list[tuple[int, ...]]:
    """Assigns taps to levels.

    Level 0 receives none, every further level receives one, the deepest first, and the last level
    receives all that remain.

    Args:
        num_taps: Number of taps.
        steps: Index of the last level.

    Returns:
        Indices of the taps of each level 0 … steps; index 0 is the shallowest tap.
    """
    waiting = list(range(num_taps))
    levels: list[tuple[int, ...]] = []
    for level in range(steps + 1):
        if level == steps:
            levels.append(tuple(reversed(waiting)))
        elif level == 0 or not waiting:
            levels.append(())
        else:
            levels.append((waiting.pop(),))
    return levels


def _skip(tap_dim: int, width: int, steps: int) -> nn.Sequential:
    """Builds one tap's layers: a 1×1 projection, then `steps` doublings with norms in between."""
    layers: list[nn.Module] = [conv_block(tap_dim, width, (1, 1, 1))]
    for step in range(steps):
        layers.append(doubling(width, width))
        if step < steps - 1:  # Without a norm, two consecutive doublings would be one linear map.
            layers += [InstanceNorm(width), LeakyReLU()]
    return nn.Sequential(*layers)


def _stage(joined: int, width: int, kernel: tuple[int, int, int], convs: int) -> nn.Sequential:
    return nn.Sequential(
        *(conv_block(width if conv else joined, width, kernel) for conv in range(convs))
    )


def _check(
    widths: tuple[int, ...],
    kernel: tuple[int, int, int],
    convs: int,
    finest: int,
    joining: str,
) -> None:
    odd = len(kernel) == 3 and all(size >= 1 and size % 2 for size in kernel)
    require(
        (
            widths and min(widths) >= 1,
            f"widths must contain at least one value, all positive: got {widths}",
        ),
        (odd, f"kernel must be three odd sizes (depth, height, width): got {kernel}"),
        (convs >= 1, f"convs must be at least 1: got {convs}"),
        (
            finest >= 1 and not finest & (finest - 1),
            f"finest must be a power of two, in pixels of the patch: got {finest}",
        ),
        (
            joining in JOININGS,
            f"unknown joining '{joining}' of taps{nearest(joining, JOININGS)}",
        ),
    )
