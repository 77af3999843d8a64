"""NIfTI headers with bytes changed, against nibabel."""

from __future__ import annotations

import gzip
import random
import struct
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from spsam.data.files.image import read_array, read_geometry
from spsam.data.files.nifti import nifti_oddities
from spsam.data.geometry import Geometry
from tests.fuzz.campaign import Attempt, Campaign, Make, OtherError

_KINDS = ("u1", "i2", "u2", "i4", "f4", "f8", ">i2", ">f4")
# Where the first version's header has what decides how voxels are read and where they lie.
_TELLING = (
    *(0, 40, 42, 44, 46, 48, 50, 70, 72, 76, 80, 84, 88, 108, 112, 116, 123),
    *(252, 254, 256, 260, 264, 268, 272, 276, 280, 284, 292, 300, 312, 324, 344, 346),
)
_SINGLES = (0.0, -1.0, 1.0, 3.0, 352.0, float("nan"), float("inf"), 1e38, 1e-38, 1e9)
_SHORTS = (0, 1, -1, 2, 3, 4, 7, 8, 16, 64, 512, 32767, -32768)
Edit = tuple[int, bytes]


def start(base: Path) -> Make:
    """Nothing is needed beforehand."""
    del base
    return _attempt


def _attempt(draw: random.Random, folder: Path) -> Attempt:
    header, voxels, pair = _sound(draw)
    edits = [_edit(draw, len(header)) for _ in range(draw.choice([1, 1, 1, 2, 4]))]
    for at, new in edits:
        header[at : at + len(new)] = new
    content = bytes(header) + voxels
    if cut := draw.random() < 0.05:
        content = content[: draw.randrange(len(content))]
    packed = draw.random() < 0.4
    pack = (lambda data: gzip.compress(data, 1)) if packed else bytes
    ending = ".gz" if packed else ""
    if pair:
        path = folder / f"x.hdr{ending}"
        path.write_bytes(pack(content[: len(header)]))
        (folder / f"x.img{ending}").write_bytes(pack(content[len(header) :]))
    else:
        path = folder / f"x.nii{ending}"
        path.write_bytes(pack(content))
    what = f"{path.name} of {len(header)} bytes of header, bytes {edits}{', cut' if cut else ''}"

    def compare(found: tuple[NDArray[Any], Geometry, bool]) -> str:
        return _as_nibabel(path, *found)

    return Attempt(what, lambda: _read(path), compare)


def _sound(draw: random.Random) -> tuple[bytearray, bytes, bool]:
    """Header and voxels of an image; and whether in two files."""
    kind = np.dtype(draw.choice(_KINDS))
    shape = draw.choice([(5, 6, 7), (5, 6, 7), (4, 3, 6, 2), (5, 6, 1)])
    numbers = np.random.default_rng(draw.randrange(9)).normal(100, 20, shape).astype(kind)
    pair, second = draw.random() < 0.2, draw.random() < 0.3
    kinds: dict[tuple[bool, bool], Any] = {
        (False, False): nib.Nifti1Image,
        (False, True): nib.Nifti2Image,
        (True, False): nib.Nifti1Pair,
        (True, True): nib.Nifti2Pair,
    }
    affine = np.diag([1.5, 1.25, 4, 1])
    affine[:3, 3] = -10, 20, 30
    kind_of = kinds[pair, second]
    image = kind_of(
        numbers, affine, kind_of.header_class(endianness=kind.str[0].strip("|=<") or "<")
    )
    image.header.set_data_dtype(kind)
    image.set_qform(affine, 1)
    if draw.random() < 0.5:
        image.header.set_slope_inter(draw.choice([0.5, 2, 1e-3]), draw.choice([0, -1024]))
    size = image.header.sizeof_hdr
    offset = 0 if pair else size + 4
    image.header["vox_offset"] = offset
    header = bytearray(image.header.binaryblock) + bytes(0 if pair else 4)
    order = image.header.endianness
    stored = numbers.astype(kind.newbyteorder(order))
    return header, stored.tobytes("F"), pair


def _edit(draw: random.Random, size: int) -> Edit:
    telling = draw.random() < 0.4 and size < 400
    at = draw.choice(_TELLING) if telling else draw.randrange(size)
    order = draw.choice("<<>")
    new = draw.choice(
        [
            bytes([draw.choice([0, 1, 127, 128, 255, draw.randrange(256)])]),
            struct.pack(f"{order}f", draw.choice(_SINGLES)),
            struct.pack(f"{order}h", draw.choice(_SHORTS)),
            struct.pack(f"{order}q", draw.choice([-1, 1, 2**31, 2**62, 2**63 - 1])),
        ]
    )
    return min(at, size - len(new)), new


def _read(path: Path) -> tuple[NDArray[Any], Geometry, bool]:
    """Voxels, where they lie, and whether the user is warned of the header."""
    voxels, geometry = read_array(path)
    if read_geometry(path) != geometry:
        raise OtherError("the header alone gives another place than header and voxels")
    return voxels, geometry, bool(nifti_oddities(path))


def _as_nibabel(path: Path, voxels: NDArray[Any], geometry: Geometry, warned: bool) -> str:
    try:
        image: Any = nib.load(path.with_name(path.name.replace(".hdr", ".img")))
        wanted = np.asanyarray(image.dataobj)
        affine = image.affine
    except Exception as error:
        # Read here and not there: only what nibabel is stricter about.
        return f"accepted, nibabel does not: {type(error).__name__} {str(error)[:40]}"
    wanted = wanted.reshape(wanted.shape + (1,) * (3 - wanted.ndim))
    channels = np.moveaxis(wanted.reshape(*wanted.shape[:3], -1), -1, 0).transpose(0, 3, 2, 1)
    if voxels.shape != channels.shape:
        raise OtherError(f"the voxels are {voxels.shape}, nibabel's {channels.shape}")
    if not np.allclose(voxels, channels, rtol=1e-5, atol=1e-30, equal_nan=True):
        raise OtherError("the voxels are not nibabel's")
    if _lies_as(geometry, affine, image.header):
        return "as nibabel"
    if not warned:
        raise OtherError(f"lies at {geometry}, nibabel's at {affine.tolist()}, without a warning")
    return "voxels as nibabel, a warning of the place"


def _lies_as(geometry: Geometry, affine: NDArray[Any], header: Any) -> bool:
    """Whether no corner of a volume lies more than a tenth of a voxel from where an affine has it.

    A header without a form says sizes alone: nibabel then puts the volume's middle at zero.
    """
    unit = {1: 1000.0, 3: 1e-3}.get(int(header["xyzt_units"]) & 7, 1.0)
    spacing = np.array(geometry.spacing[::-1])
    if header["qform_code"] <= 0 and header["sform_code"] <= 0:
        return bool(np.allclose(spacing, np.linalg.norm(affine[:3, :3], axis=0) * unit))
    steps = np.asarray(geometry.direction).reshape(3, 3) * spacing
    own = np.diag([-1.0, -1.0, 1.0]) @ np.column_stack([steps, geometry.origin])
    corners = [[*(np.array(geometry.shape[::-1]) * at), 1] for at in np.ndindex(2, 2, 2)]
    far = np.linalg.norm((own - affine[:3] * unit) @ np.array(corners, np.float64).T, axis=0)
    rounded = 1e-6 * np.abs(affine[:3, 3]).max() * unit
    return bool(far.max() <= 0.101 * spacing.min() + rounded)


CAMPAIGN = Campaign("nifti", start, 1600)
