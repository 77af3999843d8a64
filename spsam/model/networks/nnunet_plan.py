"""Architecture of nnU-Net's network for a patch, by the rules of its planner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spsam.errors import InputError

SMALLEST = 4
"""Minimum edge length of the deepest map, voxels."""

FIRST_FEATURES = 32
MOST_FEATURES = {2: 512, 3: 320}
"""Maximum number of channels of a stage, by number of dimensions."""


@dataclass(frozen=True)
class NnUNetPlan:
    """Stages of the network, finest first.

    Attributes:
        kernels: Kernel sizes of each stage.
        strides: Strides of each stage's first convolution.
        features: Channels of each stage.
    """

    kernels: tuple[tuple[int, ...], ...]
    strides: tuple[tuple[int, ...], ...]
    features: tuple[int, ...]

    @property
    def multiple(self) -> tuple[int, ...]:
        """Required divisor of each axis of a patch."""
        found = [1] * len(self.strides[0])
        for stride in self.strides:
            found = [whole * step for whole, step in zip(found, stride, strict=True)]
        return tuple(found)


def plan_nnunet(size: Sequence[int], spacing: Sequence[float]) -> NnUNetPlan:
    """Plans a U-Net as nnU-Net does (Nature Methods 2021, Suppl. Note 2, and its second version).

    Each stage halves the axes that are long enough, except those whose current spacing is at least
    twice the smallest spacing among them. If only one axis qualifies, it is halved only while its
    length is at least three times the minimum edge. An axis is convolved from the first stage on at
    which its spacing is less than twice the smallest spacing of all axes. The deepest stage
    convolves all axes.

    Args:
        size: Size of the patch, voxels; (H, W) or (D, H, W).
        spacing: Voxel spacing, mm, in the same order.

    Raises:
        InputError: If the patch is too small to be halved once.
    """
    edges, voxels = [int(side) for side in size], [float(side) for side in spacing]
    axes = range(len(edges))
    convolved = [False] * len(edges)
    kernels: list[tuple[int, ...]] = []
    strides: list[tuple[int, ...]] = [(1,) * len(edges)]
    while True:
        halved = _halved(edges, voxels)
        if not halved:
            break
        shortest = min(voxels)
        convolved = [convolved[axis] or voxels[axis] / shortest < 2 for axis in axes]
        kernels.append(tuple(3 if each else 1 for each in convolved))
        strides.append(tuple(2 if axis in halved else 1 for axis in axes))
        for axis in halved:
            edges[axis], voxels[axis] = -(-edges[axis] // 2), 2 * voxels[axis]
    if not kernels:
        raise InputError(
            f"nnU-Net requires a patch with one side of at least {3 * SMALLEST} voxels or two of "
            f"at least {2 * SMALLEST}, got {'×'.join(map(str, size))}"
        )
    kernels.append((3,) * len(edges))
    most = MOST_FEATURES[len(edges)]
    features = tuple(min(FIRST_FEATURES * 2**stage, most) for stage in range(len(kernels)))
    return NnUNetPlan(tuple(kernels), tuple(strides), features)


def _halved(edges: Sequence[int], voxels: Sequence[float]) -> list[int]:
    """Returns the axes that the next stage halves; an empty list if there is no next stage."""
    long = [axis for axis, edge in enumerate(edges) if edge >= 2 * SMALLEST]
    if not long:
        return []
    shortest = min(voxels[axis] for axis in long)
    halved = [axis for axis in long if voxels[axis] / shortest < 2]
    if len(halved) == 1 and edges[halved[0]] < 3 * SMALLEST:
        return []
    return halved
