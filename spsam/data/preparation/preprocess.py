"""Preprocessing of one volume to a plan's grid, with the information to revert it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np

from spsam.data.cases import Case
from spsam.data.check import load_checked
from spsam.data.geometry import Box, nonzero_box
from spsam.data.plan import Plan
from spsam.data.preparation.bounds import check_size, spacing_notes
from spsam.data.preparation.resample import resample_label
from spsam.data.preparation.sliced import SlicedImage, Statistics
from spsam.data.preparation.store import PreparedCase
from spsam.data.volume import Volume

__all__ = ["Statistics", "preprocess", "preprocess_volume"]


def preprocess(
    case: Case,
    plan: Plan,
    statistics: Statistics | None,
    *,
    channels: int,
    raw_ids: Sequence[int] = (),
) -> PreparedCase:
    """Read, check and prepare one case in memory, in the same way as `prepare`.

    Args:
        case: A case; without a reference, its label is background only.
        plan: The plan.
        statistics: Statistics of the training cases (`statistics` in a store's index), for CT.
        channels: Expected number of channels of the image.
        raw_ids: For each class, its id in label files.

    Returns:
        The case, without its list of foreground voxels.

    Raises:
        InputError: With every problem found, including insufficient memory.
    """
    volume = load_checked(case, channels)
    return preprocess_volume(volume, case, plan, statistics, raw_ids)


def preprocess_volume(
    volume: Volume,
    case: Case,
    plan: Plan,
    statistics: Statistics | None,
    raw_ids: Sequence[int] = (),
    *,
    sliced: bool = False,
) -> PreparedCase:
    """Prepare a volume that is already read and checked; see `preprocess`.

    Args:
        volume: The volume.
        case: The case of the volume.
        plan: The plan.
        statistics: See `preprocess`.
        raw_ids: See `preprocess`.
        sliced: Whether to return the image as a `SlicedImage`, which computes slices on demand.
            Without a reference, the label then requires no memory either.

    Raises:
        InputError: If the volume needs too much memory on the plan's grid; see `check_size`.
    """
    original = volume.geometry
    image, label = volume.image, volume.label
    box: Box | None = None
    if plan.crop:
        box = nonzero_box(image)
        inside = tuple(slice(*bounds) for bounds in box)
        image = image[(slice(None), *inside)]
        label = None if label is None else label[inside]
    depth, height, width = image.shape[1:]
    cut = replace(original, shape=(depth, height, width))
    file = case.files[0] if case.files else None
    check_size(
        cut,
        plan,
        channels=len(image),
        classes=len(raw_ids),
        labelled=label is not None,
        sliced=sliced,
        file=file,
    )
    turn = plan.turn(cut)
    shape = plan.target_shape(cut)
    slices = SlicedImage(image, turn, shape, statistics, masked=plan.crop)
    if label is not None:
        prepared = resample_label(turn.there(label), shape)
    else:
        prepared = np.broadcast_to(np.uint8(0), shape) if sliced else np.zeros(shape, np.uint8)
    extent = [cut.shape[axis] * cut.spacing[axis] for axis in turn.axes]
    first, second, third = (length / size for length, size in zip(extent, shape, strict=True))
    return PreparedCase(
        id=case.id,
        patient=case.patient,
        # A `SlicedImage` takes the place of an array, but computes slices on demand.
        image=cast(Any, slices) if sliced else np.asarray(slices),
        label=prepared,
        foreground={},
        spacing=(first, second, third),
        original=original,
        axes=turn.axes,
        raw_ids=tuple(raw_ids),
        flips=turn.flips,
        box=box,
        notes=(*volume.notes, *spacing_notes(original, plan, file)),
    )
