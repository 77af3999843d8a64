"""Reading of MetaImage and NRRD files (.mha, .mhd, .nrrd, .nhdr) with SimpleITK.

SimpleITK allocates whatever size a header claims, reads a compressed MetaImage with damaged data as
uninitialised memory, and ignores the checksum of a compressed NRRD. Size and compressed data are
therefore checked first.
"""

from __future__ import annotations

import math
import re
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import SimpleITK

from spsam.data.files.reading import check_memory, incomplete, named
from spsam.data.geometry import Geometry
from spsam.errors import InputError, Problem

# SimpleITK has no type annotations.
sitk: Any = SimpleITK

_UNREADABLE = (
    "cannot be read as an image: the file is truncated or not an image; copy it again from its "
    "source"
)
# Largest compression ratio of Deflate, and bytes allowed for a text header.
_RATIO, _HEADER = 1032, 1 << 16
_META = (".mha", ".mhd")
# Fields in which SimpleITK reads NaN as 0.
_PLACES = ("elementspacing", "offset", "position", "origin", "transformmatrix", "rotation")


def read_container(path: Path) -> tuple[npt.NDArray[np.generic], Geometry]:
    """Read the voxels `(M, D, H, W)` and the geometry of a file.

    Raises:
        InputError: If the file is missing or damaged, claims more data than it contains, or has
            complex voxels.
    """
    with named(path, _UNREADABLE):
        data = _detached(path)
        reader = _reader(path)
        geometry = _geometry(path, reader)
        kind = str(sitk.GetPixelIDValueAsString(reader.GetPixelIDValue()))
        if "complex" in kind.lower():
            message = "its voxels are complex numbers: expected one real number each; convert it"
            raise InputError(Problem(message, path))
        components = reader.GetNumberOfComponents()
        bits = re.search(r"(\d+)-bit", kind)
        size = int(np.prod(reader.GetSize())) * components * (int(bits[1]) if bits else 8) // 8
        length = None if data is None else data.stat().st_size
        if length is not None and size > _RATIO * length + _HEADER:
            raise InputError(incomplete(path, f"expected {size} bytes, got {length}, compressed"))
        check_memory(size, path)
        if data is not None:
            _check_packed(path, data, size)
        image = sitk.ReadImage(str(path), imageIO=_io(path))
        array = sitk.GetArrayFromImage(image)
    if components > 1:
        array = np.moveaxis(array, -1, 0)
    return array.reshape(-1, *geometry.shape), geometry


def container_geometry(path: Path) -> Geometry:
    """Read the geometry of a file from its header alone.

    Raises:
        InputError: If the file is missing or its header is damaged.
    """
    with named(path, _UNREADABLE):
        return _geometry(path, _reader(path))


def _reader(path: Path) -> Any:
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.SetImageIO(_io(path))
    reader.ReadImageInformation()
    return reader


def _io(path: Path) -> str:
    """Return SimpleITK's reader of MetaImage for an upper-case suffix, else empty (automatic)."""
    return "MetaImageIO" if path.suffix.lower() in _META and path.suffix.isupper() else ""


def _geometry(path: Path, reader: Any) -> Geometry:
    size, spacing, origin = reader.GetSize(), reader.GetSpacing(), reader.GetOrigin()
    if len(size) not in (3, 4):
        raise InputError(Problem(f"expected a 3D image, got {len(size)} dimensions", path))
    matrix = np.reshape(reader.GetDirection(), (len(size), len(size)))[:3, :3]
    # Reject values that are not finite, and spacings that are not positive.
    words = " ".join(_fields(path).get(name, "") for name in _PLACES).lower()
    if (
        re.search("nan|inf", words)
        or not np.isfinite([*spacing, *origin, *matrix.ravel()]).all()
        or min(spacing[:3]) <= 0
    ):
        message = f"its header contains an invalid spacing, origin or direction: {spacing}"
        raise InputError(Problem(f"{message} mm, from {origin}; correct the header", path))
    return Geometry(
        (int(size[2]), int(size[1]), int(size[0])),
        (float(spacing[2]), float(spacing[1]), float(spacing[0])),
        (float(origin[0]), float(origin[1]), float(origin[2])),
        tuple(float(value) for value in matrix.ravel()),
    )


def _detached(path: Path) -> Path | None:
    """Return the file that contains the voxels; None if the header lists several files."""
    fields = _fields(path)
    name = fields.get("elementdatafile") or fields.get("data file") or fields.get("datafile")
    if name is None or name.upper() == "LOCAL":
        return path
    file = path.parent / name.strip()
    if file.is_file():
        return file
    if re.fullmatch(r"LIST.*|.*%\d*d.*", name):
        return None
    raise InputError(Problem(f"the file of its voxels, {name}, is missing in its folder", path))


def _fields(path: Path) -> dict[str, str]:
    """Read the header's lines `name = value` or `name: value`; names become lower case."""
    with path.open("rb") as stream:
        head = stream.read(_HEADER)
    end = re.search(rb"\n\r?\n|(?i:ElementDataFile)[^\n]*\n", head)
    text = head[: end.end() if end else len(head)].decode("latin-1")
    pairs = (re.split(r"\s*=\s*|:=?\s*", line, maxsplit=1) for line in text.splitlines())
    return {pair[0].strip().lower(): pair[1].strip() for pair in pairs if len(pair) == 2}


def _check_packed(path: Path, data: Path, size: int) -> None:
    """Check length and checksum of compressed data; uncompressed data are not checked here."""
    fields = _fields(path)
    meta = path.name.lower().endswith(_META)
    if meta:
        packed = fields.get("compresseddata", "").lower() in {"true", "1"}
        skipped = 0
    else:
        packed = fields.get("encoding", "").lower() in {"gzip", "gz"}
        skipped = int(fields.get("byte skip") or fields.get("byteskip") or 0)
    if not packed:
        return
    with data.open("rb") as stream:
        stream.seek(_start(path, data, fields))
        for _ in range(int(fields.get("line skip") or fields.get("lineskip") or 0)):
            stream.readline()
        try:
            done = _unpacked(stream, math.inf if skipped < 0 else size + skipped)
        except (zlib.error, EOFError) as error:
            message = "its compressed data end early or are damaged"
            raise InputError(incomplete(data, message)) from error
    # With a negative skip, the voxels are at the end of the data.
    if done < size if skipped < 0 else done != size + skipped:
        raise InputError(incomplete(data, f"expected {size} bytes of voxels, got {done}"))


def _start(path: Path, data: Path, fields: dict[str, str]) -> int:
    """Return the offset of the compressed data in the file."""
    if data != path:
        return max(0, int(fields.get("headersize", "0")))
    with path.open("rb") as stream:
        head = stream.read(_HEADER)
    end = rb"(?i:ElementDataFile)[^\n]*\n" if path.name.lower().endswith(_META) else rb"\n\r?\n"
    match = re.search(end, head)
    return match.end() if match else 0


def _unpacked(stream: BinaryIO, most: float) -> int:
    """Count the bytes of decompressed zlib or gzip data, up to one chunk more than `most`.

    Raises:
        zlib.error: If the data are damaged or do not match their checksum.
        EOFError: If the data end early.
    """
    done, piece = 0, b""
    while True:
        unpack = zlib.decompressobj(32 + zlib.MAX_WBITS)
        while not unpack.eof:
            piece = unpack.unconsumed_tail or piece or stream.read(1 << 20)
            if not piece:
                raise EOFError
            done += len(unpack.decompress(piece, 1 << 20))
            piece = b""
            if done > most:
                return done
        # A gzip file may consist of several members.
        piece = unpack.unused_data or stream.read(1 << 20)
        if not piece.startswith(b"\x1f\x8b"):
            return done
