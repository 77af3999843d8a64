"""Compressed arrays in files, which can be read in pieces (Blosc2's `b2nd`).

A file consists of a Blosc2 frame (header, chunks and their table) and a footer of spsam. The footer
contains the position and CRC-32 of each chunk, and the CRC-32 of everything else. Data are verified
before Blosc2 parses them: header and table when the file is opened, a chunk at its first access.
"""

from __future__ import annotations

import math
import struct
import zlib
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.mixins import NDArrayOperatorsMixin

from spsam.errors import SpsamError

# (D, H, W) of a chunk, which is contiguous in the file, and of a block, the unit of decompression.
_CHUNK, _BLOCK = (4, 64, 64), (1, 32, 64)
# End of the footer: number of chunks, CRC-32 of everything but the chunks, CRC-32 of the footer.
_END = struct.Struct("<QII")
# Preceding entries, per chunk: offset, length (0 for a constant, stored in the table), CRC-32.
_EXTENT = np.dtype([("start", "<u8"), ("length", "<u4"), ("crc", "<u4")])


class Chunked(NDArrayOperatorsMixin):
    """A read-only array in a file. Its slices, and results of computations, are ordinary arrays.

    The file is opened at first use, so that other processes receive the path only.

    Args:
        path: A file with the content of `pack`.
        crc: Expected checksum of the content, by `crc_of`, which detects an exchanged file; None
            disables this check.

    Raises:
        SpsamError: At first or later use, if the file is damaged, missing or exchanged.
    """

    def __init__(self, path: Path, crc: int | None = None) -> None:
        self.path = path
        self.crc = crc

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "crc": self.crc}

    @cached_property
    def _array(self) -> Any:
        import blosc2

        _ = self._extents  # verified first, because Blosc2 does not validate a header
        try:
            # One thread: patches are small, and several data workers run at the same time.
            return blosc2.open(str(self.path), mmap_mode="r", dparams={"nthreads": 1})
        except (RuntimeError, FileNotFoundError) as error:
            raise self._damaged() from error

    @cached_property
    def _extents(self) -> npt.NDArray[np.void]:
        """Offsets and CRCs of the chunks; everything but the chunks is verified."""
        try:
            with self.path.open("rb") as stream:
                whole = stream.seek(0, 2)
                stream.seek(max(0, whole - _END.size))
                end = stream.read()
                count, rest, crc = _END.unpack(end)
                frame = whole - _END.size - count * _EXTENT.itemsize
                stream.seek(max(0, frame))
                table = stream.read(min(count, whole) * _EXTENT.itemsize)
                if frame < 0 or zlib.crc32(table + end[:-4]) != crc or self.crc not in (None, crc):
                    raise ValueError
                extents = np.frombuffer(table, _EXTENT)
                stream.seek(0)
                head = stream.read(_first(extents, frame))
                stream.seek(_last(extents, frame))
                tail = stream.read(frame - stream.tell())
        except (FileNotFoundError, ValueError, struct.error) as error:
            raise self._damaged() from error
        if zlib.crc32(tail, zlib.crc32(head)) != rest:
            raise self._damaged()
        return extents

    @cached_property
    def _numbers(self) -> npt.NDArray[np.intp]:
        """Numbers of the chunks, arranged as the chunks are in the array."""
        pairs = zip(self._array.shape, self._array.chunks, strict=True)
        return np.arange(len(self._extents)).reshape([-(-size // chunk) for size, chunk in pairs])

    @cached_property
    def _verified(self) -> npt.NDArray[np.bool_]:
        """Whether each chunk has been verified, in the same arrangement; constant chunks are."""
        return np.asarray(self._extents["length"] == 0)[self._numbers]

    def _verify(self, key: Any) -> None:
        """Verify the chunks that an index accesses for the first time."""
        touched = self._touched(key)
        known = self._verified[touched]
        if known.all():
            return
        new = self._extents[self._numbers[touched][~known]]
        with self.path.open("rb", buffering=0) as stream:
            for start, length, crc in new.tolist():
                stream.seek(start)
                if zlib.crc32(stream.read(length)) != crc:
                    raise self._damaged()
        self._verified[touched] = True

    def _touched(self, key: Any) -> tuple[slice, ...]:
        """Return the range of chunks that an index accesses, along each axis."""
        keys = list(key) if isinstance(key, tuple) else [key]
        if any(k is not ... and not isinstance(k, int | np.integer | slice) for k in keys):
            return (slice(None),) * self._numbers.ndim
        shape, chunks = self._array.shape, self._array.chunks
        at = next((i for i, k in enumerate(keys) if k is ...), len(keys))
        keys[at : at + 1] = [slice(None)] * (len(shape) - sum(k is not ... for k in keys))
        along = []
        for k, length, chunk in zip(keys, shape, chunks, strict=True):
            inside = range(length)[k if isinstance(k, slice) else slice(k, k + 1 or None)]
            ends = sorted((inside[0], inside[-1])) if inside else (0, -chunk)
            along.append(slice(ends[0] // chunk, ends[1] // chunk + 1))
        return tuple(along)

    def _damaged(self) -> SpsamError:
        return damaged(self.path)

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""
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
        """Type of the elements."""
        dtype: np.dtype[Any] = self._array.dtype
        return dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> npt.NDArray[Any]:
        try:
            self._verify(key)
            result: npt.NDArray[Any] = self._array[key]
        except (RuntimeError, FileNotFoundError) as error:
            raise self._damaged() from error
        return result

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        if copy is False:
            raise ValueError("an array that is compressed in a file cannot be read without a copy")
        return np.asarray(self[...], dtype)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        arrays = [each[...] if isinstance(each, Chunked) else each for each in inputs]
        return getattr(ufunc, method)(*arrays, **options)


def damaged(path: Path) -> SpsamError:
    """Return the error for a damaged file of prepared data."""
    advice = f"remove {path.parent / 'store.json'} and rerun the same command, which prepares the"
    return SpsamError(f"{path}: the prepared data are damaged: {advice} damaged cases again")


def pack(array: npt.NDArray[np.generic]) -> bytes:
    """Compress an array `(D, H, W)` or `(M, D, H, W)` to the content of a file."""
    import blosc2

    lead = array.ndim - 3
    size = array.shape[lead:]
    chunks = (1,) * lead + tuple(min(pair) for pair in zip(size, _CHUNK, strict=True))
    blocks = (1,) * lead + tuple(min(pair) for pair in zip(size, _BLOCK, strict=True))
    # Of the codecs, LZ4 decompresses a patch fastest; zstd saves another sixth but takes twice as
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
    return packed + _footer(packed)


def crc_of(packed: bytes) -> int:
    """Return the CRC-32 of the footer of packed data, which covers all other checksums."""
    return int(_END.unpack(packed[-_END.size :])[2])


def _footer(frame: bytes) -> bytes:
    import blosc2

    held = blosc2.schunk_from_cframe(frame)
    extents = np.zeros(held.nchunks, _EXTENT)
    # Chunks follow the header, whose length is in its bytes 11 to 14 (Blosc2's frame format).
    at = int.from_bytes(frame[11:15], "big")
    for number in range(held.nchunks):
        chunk = held.get_chunk(number)
        # A constant chunk is in the table only.
        if frame.startswith(chunk, at):
            extents[number] = (at, len(chunk), zlib.crc32(chunk))
            at += len(chunk)
    first, last = _first(extents, len(frame)), _last(extents, len(frame))
    rest = zlib.crc32(frame[last:], zlib.crc32(frame[:first]))
    end = _END.pack(len(extents), rest, 0)[:-4]
    table = extents.tobytes()
    return table + end + struct.pack("<I", zlib.crc32(table + end))


def _first(extents: npt.NDArray[np.void], frame: int) -> int:
    """Return the offset of the first chunk in a frame; the frame's length if it has none."""
    there = extents[extents["length"] > 0]
    return int(there["start"][0]) if len(there) else frame


def _last(extents: npt.NDArray[np.void], frame: int) -> int:
    """Return the offset of the first byte after the chunks."""
    there = extents[extents["length"] > 0]
    return int(there["start"][-1]) + int(there["length"][-1]) if len(there) else frame
