"""Bounds of a volume's size and spacing, which detect a wrong unit before memory is exhausted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from spsam.data.files.memory import memory_at_hand
from spsam.data.geometry import Geometry
from spsam.data.plan import Plan
from spsam.errors import InputError, Problem

FAR = 3.0
"""Factor between two spacings above which a wrong header is more likely than another scanner."""

ABSURD = 100.0
"""Factor between two spacings that only different units can cause."""

LARGE = 100.0
"""Spacing in mm that no scanner has; it occurs if a header's unit is metres."""

# Share of the free memory that may be used; the rest is left to the remainder of the process.
_SHARE = 0.9
# Bytes per voxel. A channel needs its float32 twice while slices are stacked. A reference needs a
# class's share and the largest share so far, both float32, and the label.
_OF_CHANNEL, _OF_REFERENCE = 8, 10
# Bytes per logit: its sum in one tile's depth of slices, and two copies in finished slices.
_OF_SUM, _OF_FINISHED, _FINISHED = 4, 8, 8


def far(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the largest factor between two spacings over all axes."""
    return max(max(a / b, b / a) for a, b in zip(one, other, strict=True))


def spacing_notes(geometry: Geometry, plan: Plan, file: Path | None) -> tuple[Problem, ...]:
    """Return a warning if a volume's spacing is far from that of the plan's training cases."""
    own = _along(geometry, plan)
    if far(own, plan.spacing) <= FAR:
        return ()
    message = (
        f"its spacing {_mm(own)} is far from that of the training cases, {_mm(plan.spacing)}: is "
        "the header's unit correct?"
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
    """Reject a volume that would be absurdly large or small on the plan's grid.

    Args:
        geometry: Geometry of the volume to be resampled.
        plan: The plan.
        channels: M.
        classes: K, if logits of K classes will be held in memory; 0 if no network is run.
        labelled: Whether a reference is resampled as well.
        sliced: Whether the image is resampled some slices at a time.
        file: The volume's file, for messages.

    Raises:
        InputError: If the spacings differ by a factor of `ABSURD`, or the resampled volume would
            need more memory than is available.
    """
    own = _along(geometry, plan)
    said = f"its spacing is {_mm(own)}, that of the training cases {_mm(plan.spacing)}"
    advice = "check that the spacing and unit in its header are correct"
    shape = plan.target_shape(geometry)
    factor = far(own, plan.spacing)
    if factor > ABSURD:
        raise InputError(Problem(f"{said}, a factor of {factor:.4g}; {advice}", file))
    depth, height, width = plan.patch_size
    a_slice = max(height, shape[1]) * max(width, shape[2])
    a_logit = depth * _OF_SUM + min(depth, _FINISHED) * _OF_FINISHED
    needed = a_slice * classes * a_logit
    if sliced:
        # Two tiles' depth of the image, and the label map on the volume's original grid.
        needed += a_slice * depth * channels * _OF_CHANNEL + math.prod(geometry.shape)
    else:
        a_voxel = _OF_CHANNEL * channels + (_OF_REFERENCE if labelled else 1)
        needed += math.prod(shape) * a_voxel
    free = memory_at_hand()
    if needed > _SHARE * free:
        size = " × ".join(map(str, shape))
        message = (
            f"resampled to {size} voxels it would need {needed / 2**30:.1f} GiB of memory, "
            f"{free / 2**30:.1f} GiB are free; {said}: {advice}"
        )
        raise InputError(Problem(message, file))


def _along(geometry: Geometry, plan: Plan) -> tuple[float, ...]:
    return tuple(geometry.spacing[axis] for axis in plan.turn(geometry).axes)


def _mm(spacing: Sequence[float]) -> str:
    return " × ".join(f"{value:.4g}" for value in spacing) + " mm"


def is_out_of_memory(error: Exception) -> bool:
    """Check whether an allocation failed, for which torch raises a `RuntimeError` of its own."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError)
        and ("can't allocate memory" in text or "out of memory" in text)
    )
