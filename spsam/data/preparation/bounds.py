"""What a volume measures beside what its plan expects: a wrong unit is seen before memory ends."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from spsam.data.files.memory import memory_at_hand
from spsam.data.geometry import Geometry
from spsam.data.plan import Plan
from spsam.errors import InputError, Problem

FAR = 3.0
"""A spacing this many times off the usual one is more often a wrong header than a scanner."""

ABSURD = 100.0
"""No two scanners of one kind differ by this much; units do."""

LARGE = 100.0
"""No scanner's voxels measure this many mm; headers in metres say so."""

# Of what is free; the rest is for everything else that the process holds.
_SHARE = 0.9
# Bytes a voxel: of each channel its float32 twice, while slices become a volume; of a reference a
# class's share and the largest so far, in float32, and the label.
_OF_CHANNEL, _OF_REFERENCE = 8, 10
# Of a logit: its sum in a tile's depth of slices, and twice in slices that are finished.
_OF_SUM, _OF_FINISHED, _FINISHED = 4, 8, 8


def far(one: Sequence[float], other: Sequence[float]) -> float:
    """How many times one spacing is off another one, along the axis where that is most."""
    return max(max(a / b, b / a) for a, b in zip(one, other, strict=True))


def spacing_notes(geometry: Geometry, plan: Plan, file: Path | None) -> tuple[Problem, ...]:
    """A warning where a volume's spacing is far from what the plan's training cases have."""
    own = _along(geometry, plan)
    if far(own, plan.spacing) <= FAR:
        return ()
    message = (
        f"its spacing {_mm(own)} is far from that of the training, {_mm(plan.spacing)}: is the "
        "header's unit right?"
    )
    return (Problem(message, file),)


def check_size(
    geometry: Geometry,
    plan: Plan,
    *,
    channels: int,
    classes: int,
    labelled: bool,
    sliced: bool = False,
    file: Path | None,
) -> None:
    """Refuses a volume that would be absurdly large or small on the plan's grid.

    Args:
        geometry: Of what is to be resampled.
        plan: How.
        channels: M.
        classes: K whose logits are to be held; 0 where no network follows.
        labelled: Whether a reference is resampled as well.
        sliced: Whether the image is resampled some slices at a time.
        file: The volume's.

    Raises:
        InputError: If the spacing is off by `ABSURD`, or the resampled volume would take more
            memory than there is.
    """
    own = _along(geometry, plan)
    said = f"its spacing is {_mm(own)}, that of the training {_mm(plan.spacing)}"
    advice = "see whether its header's spacing and unit are right"
    shape = plan.target_shape(geometry)
    factor = far(own, plan.spacing)
    if factor > ABSURD:
        raise InputError(Problem(f"{said}, {factor:.4g} times another; {advice}", file))
    depth, height, width = plan.patch_size
    a_slice = max(height, shape[1]) * max(width, shape[2])
    a_logit = depth * _OF_SUM + min(depth, _FINISHED) * _OF_FINISHED
    needed = a_slice * classes * a_logit
    if sliced:
        # Of the image two tiles' depth, and the label map on the volume's own grid.
        needed += a_slice * depth * channels * _OF_CHANNEL + math.prod(geometry.shape)
    else:
        a_voxel = _OF_CHANNEL * channels + (_OF_REFERENCE if labelled else 1)
        needed += math.prod(shape) * a_voxel
    free = memory_at_hand()
    if needed > _SHARE * free:
        size = " × ".join(map(str, shape))
        message = (
            f"resampled to {size} voxels it would take {needed / 2**30:.1f} GiB of memory, "
            f"{free / 2**30:.1f} GiB are free; {said}: {advice}"
        )
        raise InputError(Problem(message, file))


def _along(geometry: Geometry, plan: Plan) -> tuple[float, ...]:
    return tuple(geometry.spacing[axis] for axis in plan.turn(geometry).axes)


def _mm(spacing: Sequence[float]) -> str:
    return " × ".join(f"{value:.4g}" for value in spacing) + " mm"


def is_out_of_memory(error: Exception) -> bool:
    """Whether an allocation failed; torch raises a `RuntimeError` of its own for that."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError)
        and ("can't allocate memory" in text or "out of memory" in text)
    )
