"""Builds the page of a case: the volume, its label maps, its prompts and NiiVue in one file."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import spsam
from spsam.data.geometry import Geometry, Turn, turn_to
from spsam.files import write_text
from spsam.reporting.render.templates import html_templates
from spsam.reporting.view.niivue import Library
from spsam.text.classes import class_labels
from spsam.text.colours import class_colour, rgb
from spsam.text.escape import one_line

# NiiVue's orientation: x to the right, y to the front, z upwards.
_ORIENTATION = "RAS"
_LARGEST = 32767


@dataclass(frozen=True)
class ViewedCase:
    """The content of a page.

    Attributes:
        name: Name of the case; the page contains no other information about the patient.
        facts: A line below the name.
        image: `(D, H, W)` intensities of one channel.
        geometry: Geometry of its voxels.
        class_names: Names of the classes, background first.
        layers: Name -> label map `(D, H, W)` of class indices.
        prompts: Name -> lines of `NAME_prompts.jsonl`, in voxels (x, y, z) of the file.
        shown: The layers whose contours are visible initially.
    """

    name: str
    facts: str
    image: NDArray[Any]
    geometry: Geometry
    class_names: Sequence[str]
    layers: Mapping[str, NDArray[np.integer]]
    prompts: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    shown: Sequence[str] = ()


def write_view(path: Path, viewed: ViewedCase, library: Library) -> Path:
    """Writes the page.

    Returns:
        The path of the page.
    """
    write_text(path, view_html(viewed, library))
    return path


def view_html(viewed: ViewedCase, library: Library) -> str:
    """The page, of several megabytes: NiiVue, and the volume as 16-bit numbers."""
    page = html_templates().get_template("view.html.j2")
    # A script element ends at the first end tag, even inside a JSON string.
    data = json.dumps(_data(viewed)).replace("<", "\\u003c")
    text: str = page.render(
        title=one_line(viewed.name),
        facts=one_line(viewed.facts),
        version=spsam.__version__,
        niivue=library.version,
        licence=library.licence,
        library=_packed(library.script.encode("utf-8")),
        data=data,
    )
    return text


def _data(viewed: ViewedCase) -> dict[str, Any]:
    turn = turn_to(_ORIENTATION, viewed.geometry)
    image = turn.there(viewed.image)
    layers = {name: turn.there(labels) for name, labels in viewed.layers.items()}
    wide = len(viewed.class_names) > 256
    kind = np.dtype("<u2" if wide else "u1")
    axes, flips = _in_xyz(turn)
    shape = image.shape[::-1]
    return {
        "shape": shape,
        "axes": axes,
        "flips": flips,
        "wide": wide,
        "image": _packed(_nifti(image, [viewed.geometry.spacing[axis] for axis in turn.axes])),
        "window": _window(image, list(layers.values())),
        "start": _start(image, list(layers.values())),
        "layers": [
            {
                "name": one_line(name),
                "voxels": _packed(np.ascontiguousarray(labels, kind).tobytes()),
                "shown": not viewed.shown or name in viewed.shown,
            }
            for name, labels in layers.items()
        ],
        "classes": [
            {"name": name, "colour": class_colour(k), "rgb": rgb(k)}
            for k, name in enumerate(class_labels(viewed.class_names))
        ],
        "prompts": [
            {"name": one_line(name), **_prompts(lines, axes, flips, shape)}
            for name, lines in viewed.prompts.items()
        ],
    }


def _in_xyz(turn: Turn) -> tuple[list[int], list[bool]]:
    """For each axis (x, y, z) of the page, the file's axis, and whether it is reversed."""
    return [2 - turn.axes[2 - axis] for axis in range(3)], [turn.flips[2 - j] for j in range(3)]


def _prompts(
    lines: Sequence[Mapping[str, Any]],
    axes: Sequence[int],
    flips: Sequence[bool],
    shape: Sequence[int],
) -> dict[str, Any]:
    """Points and boxes of the foreground, in voxels of the page."""

    def turned(at: Sequence[float]) -> list[float]:
        return [
            round(size - 1 - at[axis] if flip else at[axis], 2)
            for axis, flip, size in zip(axes, flips, shape, strict=True)
        ]

    points, boxes = [], []
    for line in lines:
        k = int(line["class"])
        if k and "point" in line:
            points.append([k, turned(line["point"])])
        if k and "box" in line:
            corners = np.array([turned(corner) for corner in line["box"]])
            boxes.append([k, corners.min(axis=0).tolist(), corners.max(axis=0).tolist()])
    return {"points": points, "boxes": boxes}


def _nifti(image: NDArray[Any], spacing: Sequence[float]) -> bytes:
    """An image `(z, y, x)` in the page's orientation, without its position in the scanner."""
    from nibabel import nifti1

    # nibabel's classes have no type annotations.
    library: Any = nifti1
    whole = np.issubdtype(image.dtype, np.integer) or bool((image == np.rint(image)).all())
    low, high = float(image.min()), float(image.max())
    slope, inter = 1.0, 0.0
    if not whole or low < -_LARGEST or high > _LARGEST:
        slope, inter = (high - low) / (2 * _LARGEST) or 1.0, (high + low) / 2
    stored = np.rint((image.astype(np.float64) - inter) / slope).astype("<i2")
    header = library.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_data_shape(image.shape[::-1])
    header["vox_offset"], header["scl_slope"], header["scl_inter"] = 352, slope, inter
    header["magic"] = b"n+1"
    header.set_xyzt_units("mm")
    header.set_sform(np.diag([*spacing[::-1], 1.0]), code=1)
    header["pixdim"][1:4] = spacing[::-1]
    little: bytes = header.as_byteswapped("<").binaryblock
    return little + bytes(4) + stored.tobytes()


def _window(image: NDArray[Any], layers: Sequence[NDArray[np.integer]]) -> list[float]:
    """Black and white level: labelled voxels are in the middle third, within the volume's range.

    For a CT, this results in a soft-tissue window instead of one from air to bone.
    """
    low, high = (float(each) for each in np.percentile(image, (0.5, 99.5)))
    filled = np.zeros(image.shape, bool)
    for labels in layers:
        filled |= labels > 0
    if filled.any():
        first, last = (float(each) for each in np.percentile(image[filled], (1, 99)))
        more = last - first
        low, high = max(low, first - more), min(high, last + more)
    return [low, high if high > low else low + 1]


def _start(image: NDArray[Any], layers: Sequence[NDArray[np.integer]]) -> list[int]:
    """The initial voxel (x, y, z): the centre of the slice with the most foreground."""
    for labels in layers:
        areas = (labels > 0).sum(axis=(1, 2))
        if areas.any():
            depth = int(areas.argmax())
            row, column = (int(each.mean()) for each in np.nonzero(labels[depth]))
            return [column, row, depth]
    return [size // 2 for size in image.shape[::-1]]


def _packed(content: bytes) -> str:
    return base64.b64encode(gzip.compress(content, 6, mtime=0)).decode("ascii")
