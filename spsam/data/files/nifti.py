"""NIfTI files, first and second version, in one file or two, packed or plain.

The image library that reads other formats fills what a truncated file lacks with zeros, turns NaN
into zeros, and takes the real part of complex voxels, all without a word. Headers are read by
nibabel; what they claim is compared with the file before anything is taken for it.
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
# Code -> numpy's name and bits a voxel.
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
    """What a NIfTI header says, compared with nothing yet.

    Attributes:
        path: The file of the header.
        voxels: The file of the voxels.
        kind: Of a voxel in the file.
        shape: (M, z, y, x).
        start: Where in the file the voxels begin.
        scale: Factor and summand of every voxel; None where they are as stored.
        forms: Where they lie.
    """

    path: Path
    voxels: Path
    kind: np.dtype[Any]
    shape: tuple[int, int, int, int]
    start: int
    scale: tuple[float, float] | None
    forms: Forms


def is_nifti(path: Path) -> bool:
    """Whether a file is called as NIfTI files are."""
    return path.name.lower().endswith((*_ONE, *_TWO))


def read_nifti(path: Path) -> tuple[npt.NDArray[np.generic], Geometry]:
    """The voxels `(M, D, H, W)`, scaled as the header says, and where they lie.

    Scaled voxels are float32, of 32-bit integers and more float64.

    Raises:
        InputError: If the file is not there, not whole or no NIfTI, or of voxels that are no
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
    """Where the voxels lie; reads the header only.

    Raises:
        InputError: As `read_header`, or if the header does not say it.
    """
    header = read_header(path)
    return geometry_of(path, header.forms, header.shape[1:])


def nifti_oddities(path: Path) -> list[Problem]:
    """What a user should know of a sound file's header; nothing of other formats."""
    if not is_nifti(path):
        return []
    header = read_header(path)
    return [Problem(message, path) for message in oddities(header.forms, header.shape[1:])]


def read_header(path: Path) -> Header:
    """Reads a header and checks it.

    Args:
        path: The file; of a pair either.

    Raises:
        InputError: If a file is missing or its header is none, not whole, contradicts itself or
            claims voxels that are no numbers.
    """
    path = _partner(path, "hdr") if path.name.lower().endswith((".img", ".img.gz")) else path
    with named(path, "its header cannot be read"):
        header, single = _parsed(path)
        kind = _kind(path, header)
        offset = float(header["vox_offset"])
        least = header.sizeof_hdr + 4 if single else 0
        if not math.isfinite(offset) or not least <= offset < 2**62:
            message = (
                f"its header has the voxels begin at byte {offset:g}, expected {least} or more"
            )
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
    """Writes a label map `(D, H, W)` as `.nii.gz`, with the forms of its scan where it has some.

    Args:
        path: The file.
        labels: The label map.
        geometry: Where its voxels lie.
        ids: What is written for each of the labels 0, 1, …; None: the labels themselves.

    Raises:
        OSError: If the disk takes no more.
    """
    kind = (labels if ids is None else ids).dtype.newbyteorder("<")
    # Slice by slice: in no moment there is a second label map.
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
    """Writes voxels as `.nii.gz`, with the forms of their scan where it has some.

    Args:
        path: The file.
        pieces: Contiguous and little-endian, of one kind; one after the other they are the array.
        shape: Of the whole array: `(D, H, W)`, or `(K, D, H, W)` for a file of four dimensions.
        geometry: Where the voxels lie.
        level: Of the compression.

    Raises:
        OSError: If the disk takes no more.
    """
    from nibabel import nifti1

    # Its classes carry no types.
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
    # Neither the time nor the draft's name: the same voxels are the same file.
    with path.open("wb") as stream, gzip.GzipFile("", "wb", level, stream, mtime=0) as packed:
        packed.write(header.as_byteswapped("<").binaryblock + bytes(4))
        for piece in itertools.chain([first], pieces):
            flat: Any = piece
            packed.write(memoryview(flat).cast("B"))


def _parsed(path: Path) -> tuple[Any, bool]:
    """The header, and whether the voxels are in the same file."""
    from nibabel import nifti1, nifti2

    # Their classes carry no types.
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
        message = "is no NIfTI but Analyze 7.5, which does not tell left from right: convert it"
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
    """What is said of a file that is no image at all."""
    return Problem(
        f"cannot be read as an image ({path.stat().st_size} bytes): the file is truncated or "
        "not an image; copy it again from its source",
        path,
    )


def _partner(path: Path, ending: str) -> Path:
    """The other file of a pair, packed or not."""
    packed = path.name.lower().endswith(".gz")
    stem = path.name[: -7 if packed else -4]
    upper = path.name[len(stem) + 1].isupper()
    first = ending.upper() if upper else ending
    names = [f"{stem}.{first}.gz", f"{stem}.{first}"]
    for name in names if packed else names[::-1]:
        if path.with_name(name).is_file():
            return path.with_name(name)
    what = "voxels" if ending == "img" else "header"
    message = f"its {what}, {stem}.{first}, should lie beside it and do not; copy both"
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
    """(M, z, y, x); channels lie on the fourth axis, or the fifth."""
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
    # Piece by piece: in double precision a large volume would be there twice more.
    with np.errstate(over="ignore", invalid="ignore"):
        for channel, result in zip(voxels, scaled, strict=True):
            for plane, into in zip(channel, result, strict=True):
                into[:] = plane.astype(np.float64) * slope + inter
    return scaled


def _affine(geometry: Geometry) -> npt.NDArray[np.float64]:
    """From voxels (x, y, z) to mm in the patient, (4, 4)."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(geometry.direction, (3, 3)) * geometry.spacing[::-1]
    matrix[:3, 3] = geometry.origin
    return matrix
