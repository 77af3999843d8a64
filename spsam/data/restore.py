"""From the prepared grid back to the grid that a volume was acquired on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from spsam.data.store import PreparedCase
from spsam.data.volume import write_label

# Slices restored at once: bounds the memory at K classes of a large volume.
_CHUNK = 16


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
    restored = np.concatenate(chunks, axis=1)
    return np.ascontiguousarray(np.transpose(restored, (0, *(1 + axis for axis in _back(case)))))


def restore_labels(
    logits: Tensor | npt.NDArray[np.float32],
    case: PreparedCase,
    labels: Callable[[Tensor], Tensor],
    on_piece: Callable[[int, Tensor, Tensor], None] | None = None,
) -> npt.NDArray[np.uint8]:
    """Labels on the original grid: logits are interpolated first, then named.

    Args:
        logits: `(K, d, h, w)` on the prepared grid, on any device.
        case: The case they belong to.
        labels: A mask head's, `(1, K, n, H, W)` logits of n slices -> `(1, n, H, W)`.
        on_piece: Called with every n slices on the original grid, depth axis first: the first
            one's index, their logits `(K, n, H, W)` and labels `(n, H, W)`, on the logits' device.

    Returns:
        `(D, H, W)` class indices, the original array axes (z, y, x).
    """
    chunks: list[npt.NDArray[np.uint8]] = []
    for piece, chunk in enumerate(_slices(logits, case)):
        named = labels(chunk[None])[0].to(torch.uint8)
        if on_piece is not None:
            on_piece(piece * _CHUNK, chunk, named)
        chunks.append(named.cpu().numpy())
    return np.ascontiguousarray(np.transpose(np.concatenate(chunks), _back(case)))


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


def _back(case: PreparedCase) -> tuple[int, ...]:
    """The transposition from (d, h, w) to (z, y, x)."""
    return tuple(int(axis) for axis in np.argsort(case.axes))


def _slices(logits: Tensor | npt.NDArray[np.float32], case: PreparedCase) -> Iterator[Tensor]:
    """Pieces `(K, n, H, W)` of the logits on the original grid, depth axis still first."""
    logits = torch.as_tensor(logits)
    depth, height, width = (case.original.shape[axis] for axis in case.axes)
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
