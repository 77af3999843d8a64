"""Class probabilities as NIfTI on a volume's original grid, written in pieces."""

from __future__ import annotations

import math
import mmap
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from spsam.data.files.nifti import write_voxels
from spsam.data.preparation.store import PreparedCase
from spsam.errors import SpsamError
from spsam.files import atomic

# Numbers keep 12 of their 23 mantissa bits; the others are noise that does not compress.
_HALF, _KEPT = np.uint32(1 << 10), np.uint32(0xFFFFFFFF << 11 & 0xFFFFFFFF)


class ProbabilityFile:
    """Probabilities `(K, D, H, W)`, of which `add` stores some slices at a time.

    Values are kept uncompressed in a temporary file beside the output, because a compressed file
    can only be written sequentially. Only some slices are in memory. Values are float32 with 12
    significant bits.

    Args:
        path: The file, `.nii.gz`, with four dimensions; classes are the last.
        case: The prepared volume.
        activation: Function that converts logits to probabilities, `softmax` or `sigmoid`.
    """

    def __init__(self, path: Path, case: PreparedCase, activation: str) -> None:
        self._path, self._case = path, case
        self._softmax = activation == "softmax"
        self._raw = path.with_name(f".{path.name}.raw")
        shape = (len(case.raw_ids), *case.original.shape)
        size = 4 * math.prod(shape)
        with self._raw.open("w+b") as stream:
            stream.truncate(size)
            _reserve(self._raw)
            self._map = mmap.mmap(stream.fileno(), size)
        whole: Any = np.frombuffer(self._map, "<f4").reshape(shape)
        # The part outside the crop is background.
        for plane in whole[0]:
            plane[:] = 1
        self._let_go()
        inside = tuple(slice(*bounds) for bounds in case.box) if case.box else ()
        # A view in the prepared orientation, so that values are written to the original positions.
        self._view: Any = case.turn.there(whole[(slice(None), *inside)])
        self._whole = whole

    def add(self, start: int, logits: Tensor, labels: Tensor) -> None:
        """Stores slices from `start`, `(K, n, H, W)`, with the arguments of `name_pieces`."""
        chances = logits.softmax(0) if self._softmax else logits.sigmoid()
        self._view[:, start : start + len(labels)] = _rounded(chances.cpu().numpy())
        self._let_go()

    def finish(self) -> None:
        """Writes the file, completely or not at all.

        Raises:
            SpsamError: If the disk is full or not writable.
        """
        with atomic(self._path) as draft:
            try:
                shape = self._whole.shape
                # The highest compression takes six times as long and saves one percent.
                write_voxels(draft, self._planes(), shape, self._case.original, level=1)
            except OSError as error:
                message = "the probabilities cannot be written: the disk is full or read-only; "
                raise SpsamError(
                    f"{self._path}: {message}free disk space and rerun the same command"
                ) from error
        self.close()

    def close(self) -> None:
        """Removes the temporary file."""
        self._view = self._whole = None
        # The map cannot be closed while an array still refers to it.
        with suppress(BufferError):
            self._map.close()
        self._raw.unlink(missing_ok=True)

    def _planes(self) -> Iterator[Any]:
        for volume in self._whole:
            for plane in volume:
                yield plane
                self._let_go()

    def _let_go(self) -> None:
        """Releases the memory of mapped pages; their content remains in the file."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)


def _rounded(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rounds to 12 significant bits, a relative error of at most 1/8192."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    rounded: NDArray[np.float32] = ((bits + _HALF) & _KEPT).view(np.float32)
    return rounded


def _reserve(file: Path) -> None:
    """Allocates disk space, because writing to a mapped file on a full disk kills the process."""
    if hasattr(os, "posix_fallocate"):
        with file.open("r+b") as stream:
            os.posix_fallocate(stream.fileno(), 0, file.stat().st_size)
