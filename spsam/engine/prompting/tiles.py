"""Division of a prepared volume into the network's patches, with every pixel counted once."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spsam.data.labels import IGNORED
from spsam.data.preparation.store import PreparedCase
from spsam.data.sampling.patches import cut_out

Triple = tuple[int, int, int]


@dataclass(frozen=True)
class Tiles:
    """All patches of a volume.

    Attributes:
        images: `(N, M, D, H, W)` float32.
        reference: `(N, D, H, W)` class indices, int64, or `IGNORED`; background beyond the volume.
        owned: `(N, D, H, W)` bool, whether the patch counts the pixel: the first of overlapping
            patches does. Pixels beyond the volume are never counted, so that counts add up to the
            volume's.
        starts: First voxel (d, h, w) of each patch; negative if the volume is smaller.
    """

    images: Tensor
    reference: Tensor
    owned: Tensor
    starts: tuple[Triple, ...]

    @property
    def counted(self) -> Tensor:
        """Pixels that are owned and not ignored, `(N, D, H, W)` bool."""
        return self.owned & (self.reference != IGNORED)

    def __len__(self) -> int:
        return len(self.starts)

    def part(self, start: int, stop: int) -> Tiles:
        """Selects some patches."""
        here = slice(start, stop)
        return Tiles(self.images[here], self.reference[here], self.owned[here], self.starts[here])

    def to(self, device: torch.device) -> Tiles:
        """Moves the tensors to a device."""
        return Tiles(
            self.images.to(device), self.reference.to(device), self.owned.to(device), self.starts
        )


def tile_starts(shape: Triple, size: Triple) -> list[Triple]:
    """Computes the first voxels of patches that cover a volume with minimal overlap.

    The last patch of an axis ends with the volume. A smaller volume is in the centre of its only
    patch, as in the sliding window.

    Args:
        shape: (D, H, W) of the volume.
        size: (D, H, W) of a patch.
    """
    axes = []
    for whole, tile in zip(shape, size, strict=True):
        spare = whole - tile
        axes.append([-(-spare // 2)] if spare <= 0 else [*range(0, spare, tile), spare])
    return [(d, h, w) for d, h, w in itertools.product(*axes)]


def cut_tiles(case: PreparedCase, size: Triple, starts: Sequence[Triple] | None = None) -> Tiles:
    """Cuts a case into patches.

    Args:
        case: The prepared case.
        size: (D, H, W) of a patch.
        starts: First voxel of each patch; None covers the volume.
    """
    shape: Triple = case.label.shape
    starts = tile_starts(shape, size) if starts is None else starts
    free = np.ones(shape, dtype=np.bool_)
    images, labels, owned = [], [], []
    for start in starts:
        first = np.array(start)
        images.append(cut_out(case.image, first, size).astype(np.float32, copy=False))
        labels.append(cut_out(case.label, first, size).astype(np.int64))
        owned.append(cut_out(free, first, size))
        low = np.maximum(first, 0)
        free[tuple(slice(a, b) for a, b in zip(low, first + np.array(size), strict=True))] = False
    return Tiles(_stacked(images), _stacked(labels), _stacked(owned), tuple(starts))


def _stacked(parts: list[NDArray[Any]]) -> Tensor:
    return torch.from_numpy(np.stack(parts))
