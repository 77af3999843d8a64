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
"""Of C, a level each: for SAM's C = 256 the widths 256, 128, 128, 64, 64."""

JOININGS = ("concat", "sum")
"""How a tap joins what comes from below."""


class MSPGenerator(PromptGenerator):
    """Upsamples the neck's output to the patch's resolution and joins a tap at every doubling.

    Level 0 convolves the neck's output on the token grid. Level j doubles the plane of level j-1
    by a transposed convolution, concatenates the next shallower tap, projected and doubled j
    times by layers of that tap's own, and convolves. The last level takes all taps that are left;
    where there are more levels than taps, the further ones only double and convolve. A 1×1 head
    on every level gives its logits (paper's Sec. 2.3, Fig. 2c).

    The last levels cost most: half of the generator's work is at the patch's own resolution. With
    `finest` 2 or 4 it ends there, as SAM's own masks do, whose pixels are 4 of the patch's for
    ViT-B at the patch's size; a bilinear resize does what is left.

    Args:
        tap_dims: Channels of the taps, shallow first.
        neck_dim: C, channels of the neck's output.
        grid: (gh, gw), the token grid.
        num_classes: K, background included.
        image_size: (H, W) of the patch, pixels.
        widths: Channels of the levels, level 0 first; the last holds for all further levels.
            None takes C, C/2, C/2, C/4, C/4.
        kernel: Odd sizes (depth, height, width) of the convolutions.
        convs: Convolutions on every level, each with instance norm and LeakyReLU.
        finest: Side of the last level's pixels, in pixels of the patch: 1, 2, 4, … Rounded down to
            what doublings of the grid reach.
        joining: How a tap joins: `concat`, beside what comes from below (the paper's), or `sum`,
            added to it, so that the convolution takes half of the channels, or a third.
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
        # Off only where it is measured what this saves.
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
        """Taps, shallow first, and neck, `(B, C_i, D, gh, gw)` each, to logits, finest first."""
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
        """`convolution(join([up(x), skip(tap), ...]))`, doublings taken into it where that pays."""
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
    """Not so on level 0, which doubles nothing."""
    return all(isinstance(layer, nn.ConvTranspose3d) for layer in layers)


def _run(layers: Iterable[nn.Module], x: Tensor) -> Tensor:
    for layer in layers:
        x = layer(x)
    return x


def doublings(grid: tuple[int, int], image_size: tuple[int, int]) -> int:
    """How often the grid is to be doubled until it is at least the patch, on both axes."""
    factor = max(-(-image // tokens) for image, tokens in zip(image_size, grid, strict=True))
    return (factor - 1).bit_length()


def assign_taps(num_taps: int, steps: int) -> list[tuple[int, ...]]:
    """Which taps, by index, shallow first, join on each of the levels 0 … steps.

    One a level from level 1, the deepest first; all that are left on the last level.
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
    """One tap's way to its level: 1×1 projection, then `steps` doublings, a norm in between."""
    layers: list[nn.Module] = [conv_block(tap_dim, width, (1, 1, 1))]
    for step in range(steps):
        layers.append(doubling(width, width))
        if step < steps - 1:  # Two doublings in a row without it would be one linear map.
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
            f"widths are positive, one a level at least for the first: got {widths}",
        ),
        (odd, f"a kernel is three odd sizes (depth, height, width): got {kernel}"),
        (convs >= 1, f"every level convolves at least once: got convs {convs}"),
        (
            finest >= 1 and not finest & (finest - 1),
            f"finest is a power of two, pixels of the patch: got {finest}",
        ),
        (
            joining in JOININGS,
            f"unknown joining '{joining}' of taps{nearest(joining, JOININGS)}",
        ),
    )
