"""From the prepared grid back to the grid that a volume was acquired on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from spsam.data.store import PreparedCase
from spsam.data.volume import write_label

# Slices restored at once: bounds the memory at K classes of a large volume.
_CHUNK = 16
# Of class 0 where a volume was cut away: as sure as float16 can still say.
_BACKGROUND = 100.0


def restore_logits(
    logits: Tensor | npt.NDArray[np.float32], case: PreparedCase
) -> npt.NDArray[np.float32]:
    """Logits on the original grid, linearly interpolated.

    Args:
        logits: `(K, d, h, w)` on the prepared grid, on any device.
        case: The case they belong to.

    Returns:
        `(K, D, H, W)`, the original array axes (z, y, x).
    """
    chunks = [chunk.cpu().numpy() for chunk in _slices(logits, case)]
    return _uncut(case.turn.back(np.concatenate(chunks, axis=1)), case, _BACKGROUND)


def restore_labels(
    logits: Tensor | npt.NDArray[np.float32],
    case: PreparedCase,
    labels: Callable[[Tensor], Tensor],
) -> npt.NDArray[np.uint8]:
    """Labels on the original grid: logits are interpolated first, then named.

    Args:
        logits: `(K, d, h, w)` on the prepared grid, on any device.
        case: The case they belong to.
        labels: A mask head's, `(1, K, n, H, W)` logits of n slices -> `(1, n, H, W)`.

    Returns:
        `(D, H, W)` class indices, the original array axes (z, y, x).
    """
    chunks = [
        labels(chunk[None])[0].to(torch.uint8).cpu().numpy() for chunk in _slices(logits, case)
    ]
    return _uncut(case.turn.back(np.concatenate(chunks)), case, 0)


def write_labels(path: Path, labels: npt.NDArray[np.integer], case: PreparedCase) -> None:
    """Writes a label map with the ids and the geometry of the case's own files.

    Args:
        path: The file, `.nii.gz`; there completely or not at all.
        labels: `(D, H, W)` class indices on the original grid.
        case: The case they belong to.
    """
    ids = np.asarray(case.raw_ids)
    ids = ids.astype(np.uint8 if ids.max() < 256 else np.uint16)
    write_label(path, ids[labels], case.original)


def _uncut(array: npt.NDArray[Any], case: PreparedCase, background: float) -> npt.NDArray[Any]:
    """The array `(…, D, H, W)` in the original volume; what was cut away is background.

    Args:
        array: On the original axes, of what was not cut away.
        case: The case.
        background: A label, or how far class 0's logits lie above zero and the others' below.
    """
    if case.box is None:
        return np.ascontiguousarray(array)
    whole = np.full((*array.shape[:-3], *case.original.shape), -background, array.dtype)
    if array.ndim > 3:
        whole[0] = background
    z, y, x = (slice(*bounds) for bounds in case.box)
    whole[..., z, y, x] = array
    return whole


def _slices(logits: Tensor | npt.NDArray[np.float32], case: PreparedCase) -> Iterator[Tensor]:
    """Pieces `(K, n, H, W)` of the logits on the original grid, depth axis still first."""
    logits = torch.as_tensor(logits)
    cut = [stop - start for start, stop in case.box] if case.box else case.original.shape
    depth, height, width = (cut[axis] for axis in case.axes)
    assert tuple(logits.shape[1:]) == case.label.shape, (logits.shape, case.label.shape)
    for first in range(0, depth, _CHUNK):
        wanted = torch.arange(first, min(depth, first + _CHUNK), device=logits.device)
        chunk = _along_depth(logits, wanted, depth)
        if chunk.shape[2:] != (height, width):
            # Pixels are areas, as in preparation: both grids cover the same extent.
            chunk = functional.interpolate(
                chunk.float().transpose(0, 1), (height, width), mode="bilinear", align_corners=False
            ).transpose(0, 1)
        yield chunk.float()


def _along_depth(logits: Tensor, wanted: Tensor, depth: int) -> Tensor:
    """Slices `wanted` of `depth` ones; between two prepared slices by their distance."""
    prepared = logits.shape[1]
    if prepared == depth:
        return logits[:, wanted]
    position = ((wanted + 0.5) * (prepared / depth) - 0.5).clamp(0, prepared - 1)
    below = position.floor().long()
    above = (below + 1).clamp(max=prepared - 1)
    weight = (position - below).float()[None, :, None, None]
    return logits[:, below].float() * (1 - weight) + logits[:, above].float() * weight
