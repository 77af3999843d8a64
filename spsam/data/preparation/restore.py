"""Mapping of logits and labels from the prepared grid back to the acquired grid."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from spsam.data.labels import narrow_ids
from spsam.data.preparation.store import PreparedCase
from spsam.data.volume import write_label

# Maximum number of slices, and of logits, that are restored at a time.
PIECE, _LOGITS = 16, 1 << 24


@runtime_checkable
class Slices(Protocol):
    """Logits that are read from the first to the last slice and may be computed on demand."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Total shape (K, d, h, w)."""
        ...

    def slices(self, first: int, stop: int) -> Tensor:
        """Return slices `first` to `stop`, `(K, n, h, w)`; `first` must not decrease."""
        ...


class _WholeVolume:
    def __init__(self, logits: Tensor) -> None:
        self._logits = logits
        self.shape = tuple(logits.shape)

    def slices(self, first: int, stop: int) -> Tensor:
        return self._logits[:, first:stop]


def restore_labels(
    logits: Slices | Tensor | npt.NDArray[np.float32],
    case: PreparedCase,
    labels: Callable[[Tensor], Tensor],
    on_piece: Callable[[int, Tensor, Tensor], None] | None = None,
) -> npt.NDArray[np.integer]:
    """Convert logits to labels on the original grid; logits are interpolated first.

    Args:
        logits: `(K, d, h, w)` on the prepared grid, on any device.
        case: The case that the logits belong to.
        labels: A mask head's function from `(1, K, n, H, W)` logits of n slices to `(1, n, H, W)`.
        on_piece: Called for every n slices on the original grid, depth axis first: with the index
            of the first slice, the logits `(K, n, H, W)` and labels `(n, H, W)`, on the logits'
            device.

    Returns:
        `(D, H, W)` class indices on the original array axes (z, y, x); uint8, or int16 with more
        than 256 classes.
    """
    return name_pieces(restored(logits, case), case, labels, on_piece)


def name_pieces(
    pieces: Iterable[Tensor],
    case: PreparedCase,
    labels: Callable[[Tensor], Tensor],
    on_piece: Callable[[int, Tensor, Tensor], None] | None = None,
) -> npt.NDArray[np.integer]:
    """Convert restored logits to labels; like `restore_labels` for the output of `restored`."""
    whole: npt.NDArray[np.integer] | None = None
    inside = tuple(slice(*bounds) for bounds in case.box) if case.box else ()
    first = 0
    for chunk in pieces:
        # With one class's logit, the labels are 0 and 1.
        wide = len(chunk) > 256
        named = labels(chunk[None])[0].to(torch.int16 if wide else torch.uint8)
        if on_piece is not None:
            on_piece(first, chunk, named)
        if whole is None:
            # The part outside the crop is background.
            whole = np.zeros(case.original.shape, np.int16 if wide else np.uint8)
        # A view in the prepared orientation, so that labels are written to the original positions.
        case.turn.there(whole[inside])[first : first + len(named)] = named.cpu().numpy()
        first += len(named)
    assert whole is not None, "a volume without slices"
    return whole


def write_labels(path: Path, labels: npt.NDArray[np.integer], case: PreparedCase) -> None:
    """Write a label map with the ids and the geometry of the case's own files.

    Args:
        path: The file, `.nii.gz`; written atomically.
        labels: `(D, H, W)` class indices on the original grid.
        case: The case that the labels belong to.
    """
    write_label(path, labels, case.original, narrow_ids(case.raw_ids))


def restored(
    logits: Slices | Tensor | npt.NDArray[np.float32], case: PreparedCase
) -> Iterator[Tensor]:
    """Yield the logits on the original grid in pieces `(K, n, H, W)`, depth axis first.

    Args:
        logits: `(K, d, h, w)` on the prepared grid, as one array or read in pieces.
        case: The case that the logits belong to.
    """
    if not isinstance(logits, Slices):
        logits = _WholeVolume(torch.as_tensor(logits))
    cut = [stop - start for start, stop in case.box] if case.box else case.original.shape
    depth, height, width = (cut[axis] for axis in case.axes)
    assert tuple(logits.shape[1:]) == case.label.shape, (logits.shape, case.label.shape)
    # One slice of the original grid may require several prepared slices.
    a_slice = max(height * width, -(-logits.shape[1] // depth) * math.prod(logits.shape[2:]))
    count = max(1, min(PIECE, _LOGITS // (logits.shape[0] * a_slice)))
    for first in range(0, depth, count):
        chunk = _along_depth(logits, torch.arange(first, min(depth, first + count)), depth)
        if chunk.shape[2:] != (height, width):
            # Pixels are areas, as in preparation, so that both grids cover the same extent.
            chunk = functional.interpolate(
                chunk.float().transpose(0, 1), (height, width), mode="bilinear", align_corners=False
            ).transpose(0, 1)
        yield chunk.float()


def _along_depth(logits: Slices, wanted: Tensor, depth: int) -> Tensor:
    """Return the slices `wanted` of `depth` slices, interpolated linearly if depth differs."""
    prepared = logits.shape[1]
    if prepared == depth:
        return logits.slices(int(wanted[0]), int(wanted[-1]) + 1)
    position = ((wanted + 0.5) * (prepared / depth) - 0.5).clamp(0, prepared - 1)
    below = position.floor().long()
    above = (below + 1).clamp(max=prepared - 1)
    first = int(below[0])
    taken = logits.slices(first, int(above[-1]) + 1).float()
    weight = (position - below).float()[None, :, None, None].to(taken.device)
    lower = taken[:, below - first].mul_(1 - weight)
    return lower.add_(taken[:, above - first].mul_(weight))
