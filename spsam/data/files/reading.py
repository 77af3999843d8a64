"""Helpers of all readers: errors with file names, and checks before memory is allocated."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from spsam.data.files.memory import memory_at_hand
from spsam.errors import InputError, Problem

AGAIN = "copy it again from its source"
# Largest compression ratio of Deflate.
_RATIO = 1032
_CHUNK, _PACKED = 1 << 20, 1 << 18
# Window bits that make zlib read gzip's header and checksum.
_GZIP = 31
_DAMAGED = "its compressed data end early or are damaged"
# Bytes allowed after the voxels of a compressed file; more is treated as a decompression bomb.
_SPARE = 64 << 20

# Exceptions of libraries for invalid files. MemoryError is excluded, because its cause is clear.
_RAISED = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)


@contextmanager
def named(path: Path, message: str, *more: type[Exception]) -> Iterator[None]:
    """Convert exceptions of a library to an `InputError` with the file's path.

    Args:
        path: The file.
        message: Message of the error; the library's own message is added in brackets.
        more: Further exception classes of the library.

    Raises:
        InputError: If one is raised within, or instead of an exception of the library.
    """
    try:
        yield
    except InputError:
        raise
    except PermissionError as error:
        message = f"cannot be read: {error.strerror}; check its permissions"
        raise InputError(Problem(message, path)) from error
    except MemoryError as error:
        raise InputError(Problem("requires more memory than is available", path)) from error
    except _RAISED + more as error:
        why = (str(error).strip() or type(error).__name__).splitlines()[-1][:150]
        raise InputError(Problem(f"{message} ({why})", path)) from error


def is_packed(path: Path) -> bool:
    """Check by content whether a file is compressed with gzip."""
    with path.open("rb") as stream:
        return stream.read(2) == b"\x1f\x8b"


def read_start(path: Path, size: int) -> bytes:
    """Return the first `size` bytes of a plain or compressed file, or all if there are fewer."""
    start = b""
    for piece in _content(path):
        start += piece[: size - len(start)]
        if len(start) == size:
            break
    return start


def read_claimed(path: Path, size: int) -> memoryview:
    """Read the first `size` bytes, which a header claims, of a plain or compressed file.

    A compressed file is read to its end, so that its checksum is verified.

    Raises:
        InputError: If the file contains fewer bytes or many more, or memory is insufficient.
    """
    length, packed = path.stat().st_size, is_packed(path)
    if size > (_RATIO * length + _CHUNK if packed else length):
        held = f"at most {_RATIO * length + _CHUNK}" if packed else f"{length}"
        raise InputError(incomplete(path, f"expected {size} bytes, got {held}"))
    check_memory(size, path)
    content, done, rest = memoryview(bytearray(size)), 0, 0
    for piece in _content(path):
        taken = piece[: size - done]
        content[done : done + len(taken)] = taken
        done, rest = done + len(taken), rest + len(piece) - len(taken)
        if rest > _SPARE + size:
            message = f"its header claims {size} bytes, but it unpacks to more than twice as many"
            raise InputError(Problem(f"{message}; check its origin", path))
        if done == size and not packed:
            break
    if done < size:
        raise InputError(incomplete(path, f"expected {size} bytes, got {done}"))
    return content


def check_memory(size: int, path: Path) -> None:
    """Check that enough memory is available.

    Raises:
        InputError: If `size` bytes are not available.
    """
    free = memory_at_hand()
    if size > free:
        sizes = f"{size / 1e9:.1f} GB, {free / 1e9:.1f} GB of memory are free"
        message = f"its header claims voxels of {sizes}; check the header, or crop the image"
        raise InputError(Problem(message, path))


def incomplete(path: Path, why: str) -> Problem:
    """Return the problem of a truncated or damaged file."""
    return Problem(f"the file is truncated or damaged: {why}; {AGAIN}", path)


def _content(path: Path) -> Iterator[bytes]:
    """Yield the plain content of a plain or compressed file in pieces."""
    with path.open("rb") as stream:
        if not is_packed(path):
            yield from iter(partial(stream.read, _CHUNK), b"")
            return
        unpack = zlib.decompressobj(_GZIP)
        packed = stream.read(_PACKED)
        try:
            while packed:
                yield unpack.decompress(packed, _CHUNK)
                packed = unpack.unconsumed_tail
                if unpack.eof:
                    # Another gzip member may follow; zeros are padding.
                    packed = unpack.unused_data.lstrip(b"\0")
                    while not packed and (piece := stream.read(_PACKED)):
                        packed = piece.lstrip(b"\0")
                    if packed:
                        unpack = zlib.decompressobj(_GZIP)
                elif not packed:
                    packed = stream.read(_PACKED)
        except zlib.error as error:
            raise InputError(incomplete(path, _DAMAGED)) from error
        if not unpack.eof:
            raise InputError(incomplete(path, _DAMAGED))
