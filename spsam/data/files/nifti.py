"""Reading and writing of NIfTI files: versions 1 and 2, one file or two, compressed or not.

SimpleITK silently fills a truncated file with zeros, replaces NaN by zero, and takes the real part
of complex voxels. Therefore headers are read with nibabel and compared with the file before any
voxel is used.
"""

from __future__ import annotations

import gzip
import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spsam.data.files.nifti_forms import Forms, geometry_of, oddities
from spsam.data.files.reading import incomplete, is_packed, named, read_claimed, read_start
from spsam.data.geometry import Geometry
from spsam.errors import InputError, Problem

_ONE, _TWO = (".nii", ".nii.gz"), (".hdr", ".hdr.gz", ".img", ".img.gz")
_FIRST, _SECOND = 348, 540
# Datatype code -> name in NumPy and bits per voxel.
_KINDS = {
    **{2: ("u1", 8), 256: ("i1", 8), 4: ("i2", 16), 512: ("u2", 16), 8: ("i4", 32)},
    **{768: ("u4", 32), 1024: ("i8", 64), 1280: ("u8", 64), 16: ("f4", 32), 64: ("f8", 64)},
}
_OTHERS = {
    **{1: "single bits", 32: "complex numbers", 1792: "complex numbers", 2048: "complex numbers"},
    **{128: "colours (RGB)", 2304: "colours (RGBA)", 1536: "numbers of 128 bits"},
}


@dataclass(frozen=True)
class Header:
    """Fields of a NIfTI header, not yet compared with the file.

    Attributes:
        path: File that contains the header.
        voxels: File that contains the voxels.
        kind: Data type of a stored voxel.
        shape: (M, z, y, x).
        start: Offset of the voxels in their file, in bytes.
        scale: Slope and intercept of every voxel; None if voxels are not scaled.
        forms: Spatial fields.
    """

    path: Path
    voxels: Path
    kind: np.dtype[Any]
    shape: tuple[int, int, int, int]
    start: int
    scale: tuple[float, float] | None
    forms: Forms


def is_nifti(path: Path) -> bool:
    """Check by suffix whether a file is a NIfTI file."""
    return path.name.lower().endswith((*_ONE, *_TWO))


def read_nifti(path: Path) -> tuple[npt.NDArray[np.generic], Geometry]:
    """Read the voxels `(M, D, H, W)`, scaled as the header specifies, and the geometry.

    The type of scaled voxels is float32, or float64 if stored voxels have 32-bit integers or more.

    Raises:
        InputError: If the file is missing, truncated or not NIfTI, or its voxels are not real
            numbers.
    """
    header = read_header(path)
    geometry = geometry_of(path, header.forms, header.shape[1:])
    count = math.prod(header.shape)
    with named(header.voxels, "cannot be read"):
        content = read_claimed(header.voxels, header.start + count * header.kind.itemsize)
    voxels = np.frombuffer(content, header.kind, count, header.start).reshape(header.shape)
    if not header.kind.isnative:
        voxels = voxels.astype(header.kind.newbyteorder("="))
    return (voxels if header.scale is None else _scaled(voxels, *header.scale)), geometry


def nifti_geometry(path: Path) -> Geometry:
    """Read the geometry of a file from its header alone.

    Raises:
        InputError: As `read_header`, or if the header contains no valid geometry.
    """
    header = read_header(path)
    return geometry_of(path, header.forms, header.shape[1:])


def nifti_oddities(path: Path) -> list[Problem]:
    """Return warnings about the header of a valid NIfTI file; none for other formats."""
    if not is_nifti(path):
        return []
    header = read_header(path)
    return [Problem(message, path) for message in oddities(header.forms, header.shape[1:])]


def read_header(path: Path) -> Header:
    """Read a header and check it.

    Args:
        path: The file, or either file of a pair.

    Raises:
        InputError: If a file is missing, or its header is invalid, truncated or contradictory, or
            its voxels are not real numbers.
    """
    path = _partner(path, "hdr") if path.name.lower().endswith((".img", ".img.gz")) else path
    with named(path, "its header cannot be read"):
        header, single = _parsed(path)
        kind = _kind(path, header)
        offset = float(header["vox_offset"])
        least = header.sizeof_hdr + 4 if single else 0
        if not math.isfinite(offset) or not least <= offset < 2**62:
            message = f"its header places the voxels at byte {offset:g}, expected {least} or more"
            raise InputError(Problem(message, path))
        return Header(
            path,
            path if single else _partner(path, "img"),
            kind,
            _shape(path, header),
            int(offset),
            _scale(path, header),
            Forms.of(header),
        )


def write_nifti(
    path: Path,
    labels: npt.NDArray[np.integer],
    geometry: Geometry,
    ids: npt.NDArray[np.integer] | None = None,
) -> None:
    """Write a label map `(D, H, W)` as `.nii.gz`, with its scan's NIfTI fields if there are any.

    Args:
        path: The file.
        labels: The label map.
        geometry: Geometry of the label map.
        ids: Written id of each label 0, 1, …; None: the labels themselves.

    Raises:
        OSError: If the file cannot be written, for example on a full disk.
    """
    kind = (labels if ids is None else ids).dtype.newbyteorder("<")
    # Converted by slice, to avoid a second label map in memory.
    planes = (np.ascontiguousarray(plane if ids is None else ids[plane], kind) for plane in labels)
    write_voxels(path, planes, labels.shape, geometry)


def write_voxels(
    path: Path,
    pieces: Iterable[npt.NDArray[Any]],
    shape: tuple[int, ...],
    geometry: Geometry,
    *,
    level: int = 6,
) -> None:
    """Write voxels as `.nii.gz`, with their scan's NIfTI fields if there are any.

    Args:
        path: The file.
        pieces: Consecutive parts of the array, contiguous, little-endian and of one type.
        shape: Shape of the whole array: `(D, H, W)`, or `(K, D, H, W)` for a 4D file.
        geometry: Geometry of the volume.
        level: Compression level.

    Raises:
        OSError: If the file cannot be written, for example on a full disk.
    """
    from nibabel import nifti1

    # nibabel has no type annotations.
    library: Any = nifti1
    header = library.Nifti1Header()
    pieces = iter(pieces)
    first = next(pieces)
    header.set_data_dtype(first.dtype)
    header.set_data_shape(shape[::-1])
    header["vox_offset"], header["scl_slope"], header["scl_inter"] = _FIRST + 4, 1, 0
    header["magic"] = b"n+1"
    if geometry.forms:
        Forms.from_numbers(geometry.forms).put(header)
    else:
        matrix = np.diag([-1.0, -1.0, 1.0, 1.0]) @ _affine(geometry)
        header.set_xyzt_units("mm")
        header.set_sform(matrix, code=1)
        header.set_qform(matrix, code=1)
        header["pixdim"][1:4] = geometry.spacing[::-1]
    # Without time and file name in gzip's header, equal voxels result in equal files.
    with path.open("wb") as stream, gzip.GzipFile("", "wb", level, stream, mtime=0) as packed:
        packed.write(header.as_byteswapped("<").binaryblock + bytes(4))
        for piece in itertools.chain([first], pieces):
            flat: Any = piece
            packed.write(memoryview(flat).cast("B"))


def _parsed(path: Path) -> tuple[Any, bool]:
    """Parse the header; return it and whether the voxels are in the same file."""
    from nibabel import nifti1, nifti2

    # nibabel has no type annotations.
    first: Any = nifti1
    other: Any = nifti2
    if not path.is_file():
        raise InputError(Problem("the file does not exist", path))
    start = read_start(path, _SECOND)
    sizes = {int.from_bytes(start[:4], order): order for order in ("little", "big")}
    if not {_FIRST, _SECOND} & sizes.keys():
        if len(start) < _FIRST and (is_packed(path) or not start):
            raise InputError(incomplete(path, "the header is not complete"))
        raise InputError(not_an_image(path))
    second = _SECOND in sizes
    size = _SECOND if second else _FIRST
    magic = start[4:8] if second else start[344:348]
    if len(start) < size:
        raise InputError(incomplete(path, "the header is not complete"))
    known = (b"n+2\0", b"ni2\0") if second else (b"n+1\0", b"ni1\0")
    if magic not in known:
        message = "is Analyze 7.5, not NIfTI, and does not distinguish left from right: convert it"
        analyze = not second and magic == bytes(4)
        raise InputError(Problem(message, path) if analyze else not_an_image(path))
    single = magic == known[0]
    if single != path.name.lower().endswith(_ONE):
        wanted = ".nii" if single else ".hdr, with the voxels in .img"
        message = f"is a NIfTI of {'one file' if single else 'two files'}: rename it to {wanted}"
        raise InputError(Problem(message, path))
    header = (other.Nifti2Header if second else first.Nifti1Header)(
        start[:size], "<" if sizes[size] == "little" else ">", check=False
    )
    return header, single


def not_an_image(path: Path) -> Problem:
    """Return the problem of a file that is not an image."""
    return Problem(
        f"cannot be read as an image ({path.stat().st_size} bytes): the file is truncated or "
        "not an image; copy it again from its source",
        path,
    )


def _partner(path: Path, ending: str) -> Path:
    """Return the other file of a pair, compressed or not."""
    packed = path.name.lower().endswith(".gz")
    stem = path.name[: -7 if packed else -4]
    upper = path.name[len(stem) + 1].isupper()
    first = ending.upper() if upper else ending
    names = [f"{stem}.{first}.gz", f"{stem}.{first}"]
    for name in names if packed else names[::-1]:
        if path.with_name(name).is_file():
            return path.with_name(name)
    what = "voxels" if ending == "img" else "header"
    message = f"the file of its {what}, {stem}.{first}, is missing in its folder; copy both files"
    raise InputError(Problem(message, path))


def _kind(path: Path, header: Any) -> np.dtype[Any]:
    code, bits = int(header["datatype"]), int(header["bitpix"])
    if code not in _KINDS:
        held = _OTHERS.get(code, f"of an unknown kind ({code})")
        message = f"its voxels are {held}: expected one real number each; convert it"
        raise InputError(Problem(message, path))
    name, expected = _KINDS[code]
    if bits != expected:
        message = f"its header contradicts itself: its voxels are {np.dtype(name)}, which have "
        raise InputError(Problem(f"{message}{expected} bits, not {bits} (bitpix)", path))
    return np.dtype(str(header.endianness) + name)


def _shape(path: Path, header: Any) -> tuple[int, int, int, int]:
    """Return (M, z, y, x); channels are on the fourth axis, or on the fifth."""
    count = int(header["dim"][0])
    sizes = [int(size) for size in header["dim"][1 : 1 + max(0, count)]]
    if not 1 <= count <= 7 or min(sizes) < 1:
        message = f"its header claims {count} dimensions of sizes {sizes}, expected 1 or more each"
        raise InputError(Problem(message, path))
    more = [size for size in sizes[3:] if size > 1]
    if count < 3 or len(more) > 1:
        message = f"expected a 3D image, got {count} dimensions"
        raise InputError(Problem(message, path))
    return (math.prod(more), sizes[2], sizes[1], sizes[0])


def _scale(path: Path, header: Any) -> tuple[float, float] | None:
    slope, inter = float(header["scl_slope"]), float(header["scl_inter"])
    if not math.isfinite(slope) or slope == 0 or (slope, inter) == (1.0, 0.0):
        return None
    if not math.isfinite(inter):
        raise InputError(Problem(f"its header adds {inter} to every voxel (scl_inter)", path))
    return slope, inter


def _scaled(
    voxels: npt.NDArray[np.generic], slope: float, inter: float
) -> npt.NDArray[np.floating]:
    wide: np.dtype[Any] = np.result_type(voxels.dtype, np.float32)
    scaled = np.empty(voxels.shape, wide)
    # Scaled by slice, because a double-precision copy of a large volume needs too much memory.
    with np.errstate(over="ignore", invalid="ignore"):
        for channel, result in zip(voxels, scaled, strict=True):
            for plane, into in zip(channel, result, strict=True):
                into[:] = plane.astype(np.float64) * slope + inter
    return scaled


def _affine(geometry: Geometry) -> npt.NDArray[np.float64]:
    """Return the (4, 4) matrix from voxel indices (x, y, z) to mm in the patient."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(geometry.direction, (3, 3)) * geometry.spacing[::-1]
    matrix[:3, 3] = geometry.origin
    return matrix
