"""Preprocessing of one volume to a plan's grid, with the information to revert it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from spsam.data.cases import Case
from spsam.data.check import load_checked
from spsam.data.geometry import Box, nonzero_box
from spsam.data.plan import Plan
from spsam.data.preparation.bounds import check_size, spacing_notes
from spsam.data.preparation.resample import resample_image, resample_label
from spsam.data.preparation.store import PreparedCase
from spsam.data.volume import Floats, Volume

# For each channel: low, high, mean and std.
Statistics = Sequence[Mapping[str, float]]


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
) -> PreparedCase:
    """Prepare a volume that is already read and checked; see `preprocess`.

    Raises:
        InputError: If it needs too much memory on the plan's grid, see `check_size`.
    """
    original = volume.geometry
    image, label = volume.image, volume.label
    box: Box | None = None
    mask = None
    if plan.crop:
        box = nonzero_box(image)
        inside = tuple(slice(*bounds) for bounds in box)
        image = image[(slice(None), *inside)]
        label = None if label is None else label[inside]
        mask = (image != 0).any(axis=0)
    depth, height, width = image.shape[1:]
    cut = replace(original, shape=(depth, height, width))
    file = case.files[0] if case.files else None
    check_size(
        cut,
        plan,
        channels=len(image),
        classes=len(raw_ids),
        labelled=label is not None,
        file=file,
    )
    turn = plan.turn(cut)
    shape = plan.target_shape(cut)
    image = resample_image(turn.there(normalise(image, statistics, mask)), shape)
    prepared = (
        np.zeros(shape, np.uint8) if label is None else resample_label(turn.there(label), shape)
    )
    extent = [cut.shape[axis] * cut.spacing[axis] for axis in turn.axes]
    first, second, third = (length / size for length, size in zip(extent, shape, strict=True))
    return PreparedCase(
        id=case.id,
        patient=case.patient,
        image=image,
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


def normalise(
    image: Floats, statistics: Statistics | None, mask: npt.NDArray[np.bool_] | None = None
) -> Floats:
    """Normalise each channel to zero mean and unit deviation, of the volume or of the training.

    Args:
        image: `(M, D, H, W)`.
        statistics: Statistics of the training cases' foreground; intensities are clipped to its
            percentiles first. None uses the volume's own mean and deviation.
        mask: `(D, H, W)` voxels that the statistics are computed from; all others become zero.

    Returns:
        Normalised intensities `(M, D, H, W)`.
    """
    result = np.empty_like(image)
    for index, channel in enumerate(image):
        if statistics is None:
            # In double precision, because the sum over a large volume exceeds float32's precision.
            values = channel
            counted = channel if mask is None else channel[mask]
            mean, deviation = counted.mean(dtype=np.float64), counted.std(dtype=np.float64)
        else:
            of_training = statistics[index]
            values = channel.clip(of_training["low"], of_training["high"])
            mean, deviation = of_training["mean"], of_training["std"]
        result[index] = (values - mean) / max(float(deviation), 1e-8)
    if mask is not None:
        result[:, ~mask] = 0
    return result
