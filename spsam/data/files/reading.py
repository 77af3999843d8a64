"""What all readers share: errors with the file's name, and a look before memory is taken."""

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
# Deflate packs no better than this.
_RATIO = 1032
_CHUNK, _PACKED = 1 << 20, 1 << 18
# zlib's number for gzip's header and checksum.
_GZIP = 31
_DAMAGED = "its compressed data end early or are damaged"
# What may follow the voxels of a packed file before it counts as made to fill the disk or memory.
_SPARE = 64 << 20

# What libraries raise on files that are not what they seem. Not MemoryError: it says what it is.
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
    """Turns what a library raises into an `InputError` of the file.

    Args:
        path: The file.
        message: What is said; the library's own words follow in brackets.
        more: Further classes that the library raises.

    Raises:
        InputError: As it was raised within, or instead of what a library raised.
    """
    try:
        yield
    except InputError:
        raise
    except PermissionError as error:
        message = f"cannot be read: {error.strerror}; see whether it is yours"
        raise InputError(Problem(message, path)) from error
    except MemoryError as error:
        raise InputError(Problem("takes more memory than there is", path)) from error
    except _RAISED + more as error:
        why = (str(error).strip() or type(error).__name__).splitlines()[-1][:150]
        raise InputError(Problem(f"{message} ({why})", path)) from error


def is_packed(path: Path) -> bool:
    """Whether the content is gzip's, whatever the name is."""
    with path.open("rb") as stream:
        return stream.read(2) == b"\x1f\x8b"


def read_start(path: Path, size: int) -> bytes:
    """The first bytes of a plain or packed file, or as many as there are."""
    start = b""
    for piece in _content(path):
        start += piece[: size - len(start)]
        if len(start) == size:
            break
    return start


def read_claimed(path: Path, size: int) -> memoryview:
    """The first `size` bytes of a plain or packed file, whose header claims as many.

    The whole of a packed file is read, so that its checksum is compared.

    Raises:
        InputError: If the file cannot hold or does not hold them, memory cannot, or much follows.
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
            message = f"its header claims {size} bytes, it unpacks to more than twice as many"
            raise InputError(Problem(f"{message}; see what it is", path))
        if done == size and not packed:
            break
    if done < size:
        raise InputError(incomplete(path, f"expected {size} bytes, got {done}"))
    return content


def check_memory(size: int, path: Path) -> None:
    """Whether so many bytes can be had.

    Raises:
        InputError: If not.
    """
    free = memory_at_hand()
    if size > free:
        sizes = f"{size / 1e9:.1f} GB, {free / 1e9:.1f} GB of memory are free"
        message = f"its header claims voxels of {sizes}; see whether that is so, or crop it"
        raise InputError(Problem(message, path))


def incomplete(path: Path, why: str) -> Problem:
    """What is said of a file that is not whole."""
    return Problem(f"the file is truncated or damaged: {why}; {AGAIN}", path)


def _content(path: Path) -> Iterator[bytes]:
    """The plain content of a plain or packed file, piece by piece."""
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
                    # What follows is another member; zeros are padding.
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
