"""From the prepared grid back to the grid that a volume was acquired on."""

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

# Slices restored at once, and the logits that these may be; fewer slices where they are more.
PIECE, _LOGITS = 16, 1 << 24


@runtime_checkable
class Slices(Protocol):
    """Logits that are taken from the first slice to the last, and need not all be in memory."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(K, d, h, w), all of them."""
        ...

    def slices(self, first: int, stop: int) -> Tensor:
        """`(K, n, h, w)`: slices `first` to `stop`; later calls ask for no earlier ones."""
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
    """Labels on the original grid: logits are interpolated first, then named.

    Args:
        logits: `(K, d, h, w)` on the prepared grid, on any device.
        case: The case they belong to.
        labels: A mask head's, `(1, K, n, H, W)` logits of n slices -> `(1, n, H, W)`.
        on_piece: Called with every n slices on the original grid, depth axis first: the first
            one's index, their logits `(K, n, H, W)` and labels `(n, H, W)`, on the logits' device.

    Returns:
        `(D, H, W)` class indices, uint8 or, of more than 256 classes, int16; the original array
        axes (z, y, x).
    """
    return name_pieces(restored(logits, case), case, labels, on_piece)


def name_pieces(
    pieces: Iterable[Tensor],
    case: PreparedCase,
    labels: Callable[[Tensor], Tensor],
    on_piece: Callable[[int, Tensor, Tensor], None] | None = None,
) -> npt.NDArray[np.integer]:
    """`restore_labels` of pieces that are restored, as `restored` gives them."""
    whole: npt.NDArray[np.integer] | None = None
    inside = tuple(slice(*bounds) for bounds in case.box) if case.box else ()
    first = 0
    for chunk in pieces:
        # Of one class's logit the labels are 0 and 1.
        wide = len(chunk) > 256
        named = labels(chunk[None])[0].to(torch.int16 if wide else torch.uint8)
        if on_piece is not None:
            on_piece(first, chunk, named)
        if whole is None:
            # What was cut away is background.
            whole = np.zeros(case.original.shape, np.int16 if wide else np.uint8)
        # A view: what is written into it is turned back, and stands where it was cut out.
        case.turn.there(whole[inside])[first : first + len(named)] = named.cpu().numpy()
        first += len(named)
    assert whole is not None, "a volume without slices"
    return whole


def write_labels(path: Path, labels: npt.NDArray[np.integer], case: PreparedCase) -> None:
    """Writes a label map with the ids and the geometry of the case's own files.

    Args:
        path: The file, `.nii.gz`; there completely or not at all.
        labels: `(D, H, W)` class indices on the original grid.
        case: The case they belong to.
    """
    write_label(path, labels, case.original, narrow_ids(case.raw_ids))


def restored(
    logits: Slices | Tensor | npt.NDArray[np.float32], case: PreparedCase
) -> Iterator[Tensor]:
    """Pieces `(K, n, H, W)` of the logits on the original grid, depth axis still first.

    Args:
        logits: `(K, d, h, w)` on the prepared grid; a volume's whole, or taken piece by piece.
        case: The case they belong to.
    """
    if not isinstance(logits, Slices):
        logits = _WholeVolume(torch.as_tensor(logits))
    cut = [stop - start for start, stop in case.box] if case.box else case.original.shape
    depth, height, width = (cut[axis] for axis in case.axes)
    assert tuple(logits.shape[1:]) == case.label.shape, (logits.shape, case.label.shape)
    # Between two prepared slices there may be many of the original grid, or the other way round.
    a_slice = max(height * width, -(-logits.shape[1] // depth) * math.prod(logits.shape[2:]))
    count = max(1, min(PIECE, _LOGITS // (logits.shape[0] * a_slice)))
    for first in range(0, depth, count):
        chunk = _along_depth(logits, torch.arange(first, min(depth, first + count)), depth)
        if chunk.shape[2:] != (height, width):
            # Pixels are areas, as in preparation: both grids cover the same extent.
            chunk = functional.interpolate(
                chunk.float().transpose(0, 1), (height, width), mode="bilinear", align_corners=False
            ).transpose(0, 1)
        yield chunk.float()


def _along_depth(logits: Slices, wanted: Tensor, depth: int) -> Tensor:
    """Slices `wanted` of `depth` ones; between two prepared slices by their distance."""
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
