"""What the image library does not say about a NIfTI file.

It fills what a truncated file lacks with zeros, and turns NaN and infinity into zeros, both without
a word. So the bytes are looked at first.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np

from spsam.errors import Problem

_HEADER = 348
_FLOATS = {16: "f4", 64: "f8"}


def nifti_problems(path: Path) -> list[Problem]:
    """Whether a `.nii` or `.nii.gz` is complete and holds numbers; other formats pass.

    Args:
        path: An existing file.
    """
    name = path.name.lower()
    if not name.endswith((".nii", ".nii.gz")):
        return []
    try:
        content = path.read_bytes()
    except OSError as error:
        return [Problem(f"cannot be read: {error.strerror}; see whether it is yours", path)]
    if name.endswith(".gz"):
        try:
            content = gzip.decompress(content)
        except (EOFError, gzip.BadGzipFile, zlib.error, struct.error):
            return [_incomplete(path, "its compressed data end early or are damaged")]
    if len(content) < _HEADER:
        return [_incomplete(path, "the header is not complete")]
    for order in "<>":
        if struct.unpack_from(f"{order}i", content)[0] == _HEADER:
            return _voxel_problems(path, content, order)
    # Not NIfTI-1: the library says whether it can read it.
    return []


def shear(path: Path) -> float:
    """How far a NIfTI file's axes are from right angles: the largest cosine between two.

    With a qform beside it the image library reads a sheared sform as the nearest upright grid, and
    says nothing. Zero for another format.
    """
    if not path.name.lower().endswith((".nii", ".nii.gz")):
        return 0.0
    with path.open("rb") as stream:
        packed = path.name.lower().endswith(".gz")
        header = (gzip.GzipFile(fileobj=stream) if packed else stream).read(_HEADER)
    for order in "<>":
        if len(header) == _HEADER and struct.unpack_from(f"{order}i", header)[0] == _HEADER:
            if struct.unpack_from(f"{order}h", header, 254)[0] <= 0:
                return 0.0
            rows = np.reshape(struct.unpack_from(f"{order}12f", header, 280), (3, 4))
            axes = rows[:, :3] / np.maximum(np.linalg.norm(rows[:, :3], axis=0), 1e-12)
            return float(np.abs(axes.T @ axes - np.eye(3)).max())
    return 0.0


def _voxel_problems(path: Path, content: bytes, order: str) -> list[Problem]:
    dims = struct.unpack_from(f"{order}8h", content, 40)
    kind, bits = struct.unpack_from(f"{order}2h", content, 70)
    start = int(struct.unpack_from(f"{order}f", content, 108)[0])
    voxels = int(np.prod([max(1, size) for size in dims[1 : 1 + max(0, dims[0])]]))
    needed = start + voxels * bits // 8
    if len(content) < needed:
        return [_incomplete(path, f"expected {needed} bytes, got {len(content)}")]
    if kind not in _FLOATS:
        return []
    values = np.frombuffer(content, f"{order}{_FLOATS[kind]}", voxels, start)
    bad = voxels - int(np.isfinite(values).sum())
    return [Problem(f"the image has {bad} voxels that are NaN or infinite", path)] if bad else []


def _incomplete(path: Path, why: str) -> Problem:
    return Problem(f"the file is truncated or damaged: {why}; copy it again from its source", path)
