"""Ids of label files and the class indices they stand for, in numbers that are wide enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spsam.errors import InputError, Problem

Labels = npt.NDArray[np.int16]

MAX_CLASSES = 32767
"""K at most, background included: class indices are 16-bit integers with a sign."""

IGNORED = -1
"""In label maps of class indices, a voxel that was not annotated: it is of no class, is never
predicted, and counts neither in the loss nor in a score."""

MAX_ID = 2**32 - 1
"""The largest id of a class: label maps are written as unsigned integers of 32 bits at most."""

ROUNDING = 1e-3
"""A scale factor in a header, or another program's resampling, leaves 0.9999999 for 1: what is as
near to a whole number is taken for it."""


def id_problems(names: Sequence[str], ids: Sequence[int], file: Path | None) -> list[Problem]:
    """Which classes of a data set no label map could hold.

    Args:
        names: Of the classes, background first.
        ids: For each class, the id it has in label files.
        file: Where they are from.
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
    """Class indices as 8-bit integers where they fit, else as 16-bit ones: uint8 or int16.

    Ignored voxels, which are negative, need 16 bits.
    """
    fits = labels.max(initial=0) < 256 and labels.min(initial=0) >= 0
    return labels.astype(np.uint8 if fits else np.int16, copy=False)


def without_ignored(
    labels: npt.NDArray[Any], reference: npt.NDArray[Any] | None = None
) -> npt.NDArray[Any]:
    """A label map as figures draw it: ignored voxels are background.

    Args:
        labels: Class indices, any shape.
        reference: The same shape, whose ignored voxels are meant; None for the map's own.
    """
    ignored = (labels if reference is None else reference) == IGNORED
    return np.where(ignored, 0, labels) if ignored.any() else labels


def narrow_ids(ids: Sequence[int]) -> npt.NDArray[np.unsignedinteger[Any]]:
    """The ids of a data set's classes in the narrowest unsigned integers that hold all of them."""
    return np.asarray(ids, np.min_scalar_type(max(ids)))


def whole_ids(array: npt.NDArray[np.generic], path: Path) -> dict[Any, int]:
    """The values of a label map, each with the whole number it stands for, in rising order.

    Args:
        array: As it was read, of any type and shape.
        path: Where it is from.

    Raises:
        InputError: If a value is no whole number from 0 within `ROUNDING`, or so large that the
            file's type does not hold every whole number up to it.
    """
    values = _values(array, path)
    wrong = [value for value, number in values.items() if number is None or number < 0]
    if wrong:
        message = f"expected whole numbers from 0, got {_some(wrong)}: this is no label map"
        raise InputError(Problem(message, path))
    return {value: number for value, number in values.items() if number is not None}


def class_indices(ids: npt.NDArray[np.generic], path: Path, class_of: Mapping[int, int]) -> Labels:
    """The class indices `(D, H, W)` of a label file's ids `(1, D, H, W)`.

    Args:
        ids: As they were read, whole numbers within `ROUNDING`.
        path: Where they are from.
        class_of: For each id that the file may hold, the class index it stands for, or `IGNORED`.

    Raises:
        InputError: If there are several maps, or an id that is not in `class_of`.
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
    """For each voxel the number that its value has; `values` are in rising order."""
    if np.issubdtype(values.dtype, np.integer) and values[0] >= 0 and values[-1] < 2**16:
        table = np.zeros(int(values[-1]) + 1, np.int16)
        table[values] = by
        replaced: Labels = table[array]
        return replaced
    return by[np.searchsorted(values, array)]


def _values(array: npt.NDArray[np.generic], path: Path) -> dict[Any, int | None]:
    """Each value that is there, in rising order -> its whole number; None where it has none."""
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
            f"has label values up to {_digits(largest)} as {present.dtype}, which holds every "
            f"whole number only up to {exact}: ids may have merged; save it with integers"
        )
        raise InputError(Problem(message, path))
    # In double precision: the file's own may round the difference away.
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
    """A number with all digits that tell it from its neighbours, in its own precision."""
    if isinstance(value, np.floating):
        return np.format_float_positional(value, trim="-")
    return str(int(value))
