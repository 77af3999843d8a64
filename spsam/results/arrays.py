"""Named arrays in one file, which is written atomically."""

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

# Exceptions that Python and NumPy raise for damaged archives and arrays.
_DAMAGE = (
    *(OSError, ValueError, EOFError, KeyError, RuntimeError, SyntaxError, MemoryError),
    *(zipfile.BadZipFile, zlib.error, struct.error, tokenize.TokenError, OverflowError),
)


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays to an `.npz` file atomically and without pickle."""
    with atomic(path) as draft, draft.open("wb") as file:
        np.savez_compressed(file, **dict(arrays))  # type: ignore[arg-type]


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read all arrays of an `.npz` file.

    Raises:
        SpsamError: If the file is missing or damaged.
    """
    try:
        # Opened here, because NumPy does not close a damaged file.
        with path.open("rb") as stream, zipfile.ZipFile(stream) as archive:
            # Test first: NumPy would allocate whatever size a damaged array claims to have.
            if (name := archive.testzip()) is not None:
                raise zipfile.BadZipFile(f"the checksum of {name} does not match")
            stream.seek(0)
            file = np.load(stream, allow_pickle=False)
            return {name: file[name] for name in file.files}
    except _DAMAGE as error:
        raise SpsamError(f"{path}: cannot be read: {error}") from error
