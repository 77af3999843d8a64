"""Conversion between the ids of label files and class indices, without integer overflow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spsam.errors import InputError, Problem

Labels = npt.NDArray[np.int16]

MAX_CLASSES = 32767
"""Largest K, background included: class indices are signed 16-bit integers."""

IGNORED = -1
"""Class index of a voxel without annotation. It belongs to no class, is never predicted, and is
excluded from losses and scores."""

MAX_ID = 2**32 - 1
"""Largest class id: label maps are written as unsigned integers of at most 32 bits."""

ROUNDING = 1e-3
"""Largest distance of a label value from the integer it is rounded to. A scale factor in a header,
or resampling by another program, turns 1 into values such as 0.9999999."""


def id_problems(names: Sequence[str], ids: Sequence[int], file: Path | None) -> list[Problem]:
    """Return a problem for each class id that a label map cannot store, and for too many classes.

    Args:
        names: Names of the classes, background first.
        ids: For each class, its id in label files.
        file: The file that defines them.
    """
    problems = [
        Problem(f"the id of '{name}' is {value}; expected whole numbers from 0 to {MAX_ID}", file)
        for name, value in zip(names, ids, strict=True)
        if not 0 <= value <= MAX_ID
    ]
    if len(names) > MAX_CLASSES:
        problems.append(Problem(f"expected at most {MAX_CLASSES} classes, got {len(names)}", file))
    return problems


def narrow_indices(labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Convert class indices to the narrowest type that holds them: uint8 or int16.

    Ignored voxels are negative and require int16.
    """
    fits = labels.max(initial=0) < 256 and labels.min(initial=0) >= 0
    return labels.astype(np.uint8 if fits else np.int16, copy=False)


def without_ignored(
    labels: npt.NDArray[Any], reference: npt.NDArray[Any] | None = None
) -> npt.NDArray[Any]:
    """Replace ignored voxels by background, for figures.

    Args:
        labels: Class indices, any shape.
        reference: Class indices of the same shape, whose ignored voxels are replaced in `labels`;
            None uses `labels` itself.
    """
    ignored = (labels if reference is None else reference) == IGNORED
    return np.where(ignored, 0, labels) if ignored.any() else labels


def narrow_ids(ids: Sequence[int]) -> npt.NDArray[np.unsignedinteger[Any]]:
    """Return the ids of the classes in the narrowest unsigned integer type that fits."""
    return np.asarray(ids, np.min_scalar_type(max(ids)))


def whole_ids(array: npt.NDArray[np.generic], path: Path) -> dict[Any, int]:
    """Return the values of a label map in ascending order, each with the integer it represents.

    Args:
        array: Values of any type and shape, as read from the file.
        path: The file, for messages.

    Raises:
        InputError: If a value is not a nonnegative integer within `ROUNDING`, or exceeds the range
            in which the file's type represents every integer.
    """
    values = _values(array, path)
    wrong = [value for value, number in values.items() if number is None or number < 0]
    if wrong:
        message = f"expected whole numbers from 0, got {_some(wrong)}: this is not a label map"
        raise InputError(Problem(message, path))
    return {value: number for value, number in values.items() if number is not None}


def class_indices(ids: npt.NDArray[np.generic], path: Path, class_of: Mapping[int, int]) -> Labels:
    """Convert the ids of a label file, `(1, D, H, W)`, to class indices `(D, H, W)`.

    Args:
        ids: Values as read from the file, integers within `ROUNDING`.
        path: The file, for messages.
        class_of: For each allowed id, its class index or `IGNORED`.

    Raises:
        InputError: If there is more than one label map, or an id is not in `class_of`.
    """
    if len(ids) != 1:
        raise InputError(Problem(f"expected one label map, got {len(ids)}", path))
    values = _values(ids[0], path)
    wrong = [value for value, number in values.items() if number not in class_of]
    if wrong:
        known = _some(sorted(class_of), 20)
        raise InputError(
            Problem(f"label values {_some(wrong)} are out of range; expected {known}", path)
        )
    classes = np.array([class_of[number] for number in values.values() if number is not None])
    return _replaced(ids[0], np.array(list(values)), classes.astype(np.int16))


def _replaced(
    array: npt.NDArray[np.generic], values: npt.NDArray[np.generic], by: Labels
) -> Labels:
    """Replace each voxel's value by the number at its position in `values` (in ascending order)."""
    if np.issubdtype(values.dtype, np.integer) and values[0] >= 0 and values[-1] < 2**16:
        table = np.zeros(int(values[-1]) + 1, np.int16)
        table[values] = by
        replaced: Labels = table[array]
        return replaced
    return by[np.searchsorted(values, array)]


def _values(array: npt.NDArray[np.generic], path: Path) -> dict[Any, int | None]:
    """Map each value present, in ascending order, to its integer; None if it has none."""
    if not array.size:
        raise InputError(Problem("the label map is empty: it has no voxels", path))
    present = np.unique(array)
    if np.issubdtype(present.dtype, np.integer) or present.dtype == np.bool_:
        return {value: int(value) for value in present}
    if not np.issubdtype(present.dtype, np.floating):
        raise InputError(Problem(f"expected whole numbers, got {present.dtype} voxels", path))
    exact = 2 ** (np.finfo(present.dtype).nmant + 1)
    largest = np.abs(present[np.isfinite(present)]).max(initial=0)
    if largest > exact:
        message = (
            f"contains label values up to {_digits(largest)} as {present.dtype}, which represents "
            f"every integer only up to {exact}: ids may have merged; save it with integers"
        )
        raise InputError(Problem(message, path))
    # Computed in double precision, because the file's precision may round the difference away.
    exactly = present.astype(np.float64)
    near = np.abs(exactly - np.rint(exactly)) <= ROUNDING
    return {
        value: round(number) if fits else None
        for value, number, fits in zip(present, exactly.tolist(), near, strict=True)
    }


def _some(values: Sequence[Any], most: int = 8) -> str:
    shown = ", ".join(map(_digits, values[:most]))
    return f"{shown} and {len(values) - most} more" if len(values) > most else shown


def _digits(value: Any) -> str:
    """Format a number with all digits that distinguish it from its neighbours in its precision."""
    if isinstance(value, np.floating):
        return np.format_float_positional(value, trim="-")
    return str(int(value))
