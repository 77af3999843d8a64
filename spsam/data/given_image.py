"""Conversion of an image in memory to a case."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK

from spsam.data.cases import Case
from spsam.data.files.image import read_geometry
from spsam.data.geometry import IDENTITY, Geometry
from spsam.data.sources.volumes import open_volumes
from spsam.data.volume import Volume, check_image, read_volume
from spsam.errors import InputError, Problem

_NAME = "the image"


def given_case(
    image: Any,
    spacing: Sequence[float] | None = None,
    *,
    origin: Sequence[float] | None = None,
    direction: Sequence[float] | None = None,
) -> Case:
    """Create a case from a path, paths of channels, a SimpleITK image or an array.

    Args:
        image: An image file or the folder of one DICOM series; a list of these, one per channel; a
            3D `SimpleITK.Image` (with channels as components or on a fourth axis); or an array
            `(D, H, W)` or `(M, D, H, W)` with axes (z, y, x).
        spacing: For an array only, and required there: (z, y, x) in mm.
        origin: For an array only: (x, y, z) in mm of the centre of the first voxel; default: zero.
        direction: For an array only: nine direction cosines, row by row, in (x, y, z) order;
            default: the identity.

    Returns:
        A case without a reference.

    Raises:
        InputError: If the image does not exist, is not a volume, or contains its own geometry
            although one is given.
    """
    is_array = hasattr(image, "__array__") and not isinstance(image, SimpleITK.Image)
    place = {"spacing": spacing, "origin": origin, "direction": direction}
    if is_array:
        return _of_array(np.asarray(image), spacing, origin, direction)
    said = [name for name, value in place.items() if value is not None]
    if said:
        raise InputError(
            f"{', '.join(said)}: only valid for an array; other images contain their own"
        )
    if isinstance(image, SimpleITK.Image):
        return _of_sitk(image)
    if isinstance(image, str | Path):
        return _of_path(Path(image).expanduser())
    if isinstance(image, Sequence) and image and all(isinstance(x, str | Path) for x in image):
        return _of_channels([Path(each).expanduser() for each in image])
    raise InputError(
        f"expected a path, a list of paths (one per channel), a SimpleITK image or an array, got "
        f"{type(image).__name__}"
    )


def _of_path(path: Path) -> Case:
    cases = open_volumes(path)
    if len(cases) > 1:
        names = ", ".join(case.id for case in cases[:5])
        message = f"expected one image, got {len(cases)} ({names}, …): pass the path of one of them"
        raise InputError(Problem(message, path))
    return cases[0]


def _of_channels(paths: Sequence[Path]) -> Case:
    missing = [Problem("there is no such file or folder", x) for x in paths if not x.exists()]
    _refuse(missing)
    return Case(
        id=paths[0].name,
        patient=paths[0].name,
        load=lambda: read_volume(paths, None, {}, as_stored=True),
        geometry=lambda: read_geometry(paths[0]),
        files=tuple(paths),
    )


def _of_sitk(image: Any) -> Case:
    size = image.GetSize()
    if len(size) not in (3, 4):
        raise InputError(f"expected a 3D image, got {len(size)} dimensions: {size}")
    # SimpleITK has no type annotations.
    library: Any = SimpleITK
    array = library.GetArrayFromImage(image)
    if image.GetNumberOfComponentsPerPixel() > 1:
        array = np.moveaxis(array, -1, 0)
    matrix = np.reshape(image.GetDirection(), (len(size), len(size)))[:3, :3]
    return _of_array(
        array.reshape(-1, size[2], size[1], size[0]),
        image.GetSpacing()[2::-1],
        image.GetOrigin()[:3],
        matrix.ravel().tolist(),
    )


def _of_array(
    array: npt.NDArray[Any],
    spacing: Sequence[float] | None,
    origin: Sequence[float] | None,
    direction: Sequence[float] | None,
) -> Case:
    problems: list[Problem] = []
    if array.ndim not in (3, 4):
        message = f"expected an array (D, H, W) or (M, D, H, W), got the shape {array.shape}"
        problems.append(Problem(message))
    if spacing is None:
        problems.append(Problem("an array requires its spacing: (z, y, x) in mm"))
    elif not _numbers(spacing, 3) or min(map(float, spacing)) <= 0:
        problems.append(Problem(f"spacing: expected three lengths (z, y, x) in mm, got {spacing}"))
    if origin is not None and not _numbers(origin, 3):
        problems.append(Problem(f"origin: expected a position (x, y, z) in mm, got {origin}"))
    if direction is not None and not _numbers(direction, 9):
        problems.append(Problem(f"direction: expected nine cosines, got {direction}"))
    _refuse(problems)
    assert spacing is not None
    pixels = array if array.ndim == 4 else array[None]
    _refuse(check_image(pixels, None))
    z, y, x = (float(step) for step in spacing)
    left, posterior, superior = (float(place) for place in origin or (0, 0, 0))
    cosines = tuple(float(cosine) for cosine in (IDENTITY if direction is None else direction))
    depth, height, width = pixels.shape[1:]
    grid = Geometry((depth, height, width), (z, y, x), (left, posterior, superior), cosines)
    volume = Volume(
        pixels.astype(np.float32, copy=False), None, grid.spacing, grid.origin, grid.direction
    )
    return Case(_NAME, _NAME, load=lambda: volume, geometry=lambda: grid)


def _numbers(values: Any, count: int) -> bool:
    try:
        numbers = np.asarray([float(value) for value in values])
    except (TypeError, ValueError):
        return False
    return len(numbers) == count and bool(np.isfinite(numbers).all())


def _refuse(problems: list[Problem]) -> None:
    if problems:
        raise InputError(problems)
