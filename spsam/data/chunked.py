"""Compressed arrays in files, of which a piece is read without the rest (Blosc2's `b2nd`)."""

from __future__ import annotations

import math
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.mixins import NDArrayOperatorsMixin

from spsam.errors import SpsamError

# (D, H, W) of what lies together in the file, and of what is unpacked at once.
_CHUNK, _BLOCK = (4, 64, 64), (1, 32, 64)


class Chunked(NDArrayOperatorsMixin):
    """An array in a file, read-only; slices of it, and whatever is computed, are ordinary arrays.

    The file is opened at the first use, so that it travels to other processes as its path.

    Args:
        path: A file that `pack` made.

    Raises:
        SpsamError: At the first use, or later, if the file is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __getstate__(self) -> dict[str, Path]:
        return {"path": self.path}

    @cached_property
    def _array(self) -> Any:
        import blosc2

        try:
            # One thread: patches are small, and a data worker has siblings.
            return blosc2.open(str(self.path), mmap_mode="r", dparams={"nthreads": 1})
        except RuntimeError as error:
            raise self._damaged() from error

    def _damaged(self) -> SpsamError:
        advice = f"remove {self.path.parent}, and it is prepared again"
        return SpsamError(f"{self.path}: the prepared array is damaged: {advice}")

    @property
    def shape(self) -> tuple[int, ...]:
        """Its axes' lengths."""
        shape: tuple[int, ...] = self._array.shape
        return shape

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of its elements."""
        dtype: np.dtype[Any] = self._array.dtype
        return dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> npt.NDArray[Any]:
        try:
            result: npt.NDArray[Any] = self._array[key]
        except RuntimeError as error:
            raise self._damaged() from error
        return result

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        if copy is False:
            raise ValueError("an array that lies compressed in a file cannot be had without a copy")
        return np.asarray(self[...], dtype)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        arrays = [each[...] if isinstance(each, Chunked) else each for each in inputs]
        return getattr(ufunc, method)(*arrays, **options)


def pack(array: npt.NDArray[np.generic]) -> bytes:
    """What a file holds of `(D, H, W)` or `(M, D, H, W)`."""
    import blosc2

    lead = array.ndim - 3
    size = array.shape[lead:]
    chunks = (1,) * lead + tuple(min(pair) for pair in zip(size, _CHUNK, strict=True))
    blocks = (1,) * lead + tuple(min(pair) for pair in zip(size, _BLOCK, strict=True))
    # LZ4: of the codecs, it unpacks a patch fastest; zstd saves a sixth more and takes twice as
    # long to read (benchmarks/README.md).
    packed: bytes = blosc2.asarray(
        np.ascontiguousarray(array),
        chunks=chunks,
        blocks=blocks,
        cparams={
            "codec": blosc2.Codec.LZ4,
            "clevel": 5,
            "filters": [blosc2.Filter.SHUFFLE],
            "nthreads": 1,
        },
    ).to_cframe()
    return packed
