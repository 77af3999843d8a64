"""Named arrays in one file, there completely or not at all."""

from __future__ import annotations

import struct
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spsam.errors import SpsamError
from spsam.files import atomic

# What Python and NumPy raise of damaged archives and arrays.
_DAMAGE = (
    *(OSError, ValueError, EOFError, KeyError, RuntimeError, SyntaxError, MemoryError),
    *(zipfile.BadZipFile, zlib.error, struct.error, tokenize.TokenError, OverflowError),
)


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Writes an `.npz` whole or not at all; nothing in it needs pickle."""
    with atomic(path) as draft, draft.open("wb") as file:
        np.savez_compressed(file, **dict(arrays))  # type: ignore[arg-type]


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """All arrays of a file.

    Raises:
        SpsamError: If the file is missing or damaged.
    """
    try:
        # Opened here: NumPy leaves a damaged file open.
        with path.open("rb") as stream, zipfile.ZipFile(stream) as archive:
            # Before NumPy makes room for as much as a damaged array claims to hold.
            if (name := archive.testzip()) is not None:
                raise zipfile.BadZipFile(f"{name} has another checksum")
            stream.seek(0)
            file = np.load(stream, allow_pickle=False)
            return {name: file[name] for name in file.files}
    except _DAMAGE as error:
        raise SpsamError(f"{path}: cannot be read: {error}") from error
