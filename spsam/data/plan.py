"""Planning of the preprocessing of a data set, and of the patch size that follows from it."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from spsam.data.cases import DataSet, Modality
from spsam.data.check import check
from spsam.data.geometry import Geometry, Triple, Turn, nonzero_box, orientation, turn_to
from spsam.errors import InputError

MULTIPLE = 16
VERSION: Mapping[Modality, int] = {"MR": 2, "CT": 3}
"""Version of the prepared data, increased whenever they change, so that old data are not reused."""
# Volumes are cropped to their nonzero voxels if these fill less than this share [A], as in nnU-Net.
CROPPED = 0.75
# Number of training images that are examined for this.
SAMPLE = 4


@dataclass(frozen=True)
class Plan:
    """The preprocessing of every volume of a data set.

    Attributes:
        depth_axis: The array axis (of z, y, x) whose slices form the depth of a patch.
        spacing: Target spacing in mm, depth axis first. For anisotropic data, the first value is
            the median for information only, because the depth axis is not resampled [C].
        anisotropic: Whether the depth axis keeps its acquired slices.
        modality: `MR`: z-score of each volume. `CT`: intensities are clipped to the 0.5 and 99.5
            percentiles of the training cases' foreground, then normalised by its mean and standard
            deviation.
        patch_size: (D, H, W) of a training patch.
        training: Ids of the cases that determine the intensity statistics of CT; empty for MR.
        orientation: The most frequent orientation of the training cases, such as `LPS`. Other
            volumes are turned to it. Empty: volumes keep their orientation.
        crop: Whether volumes are cropped to their nonzero voxels. The normalisation then uses
            nonzero voxels alone.
    """

    depth_axis: int
    spacing: Triple
    anisotropic: bool
    modality: Modality
    patch_size: tuple[int, int, int]
    training: tuple[str, ...] = ()
    orientation: str = ""
    crop: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for a run's record."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Plan:
        """Create a plan from the values of `to_dict`, also after a round trip through JSON."""
        plain: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in values.items()
        }
        return cls(**plain)

    @property
    def key(self) -> str:
        """16 hex digits that identify the prepared volumes, which do not depend on the patch."""
        content = {**self.to_dict(), "version": VERSION[self.modality]}
        del content["patch_size"]
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def turn(self, geometry: Geometry) -> Turn:
        """Return the turn from the array axes (z, y, x) of a volume to (d, h, w)."""
        upright = turn_to(self.orientation, geometry) if self.orientation else Turn()
        first, second = (axis for axis in range(3) if axis != self.depth_axis)
        order = (self.depth_axis, first, second)
        d, h, w = (upright.axes[axis] for axis in order)
        flip_d, flip_h, flip_w = (upright.flips[axis] for axis in order)
        return Turn((d, h, w), (flip_d, flip_h, flip_w))

    def target_shape(self, geometry: Geometry) -> tuple[int, int, int]:
        """Return the prepared shape `(D, H, W)`: the same extent in mm at the target spacing."""
        axes = self.turn(geometry).axes
        shape = [
            max(1, round(geometry.shape[axis] * geometry.spacing[axis] / target))
            for axis, target in zip(axes, self.spacing, strict=True)
        ]
        depth = geometry.shape[axes[0]] if self.anisotropic else shape[0]
        return depth, shape[1], shape[2]


def plan(
    dataset: DataSet,
    train_ids: Sequence[str],
    *,
    depth: int | None = None,
    size: int | tuple[int, int] | None = None,
    max_depth: int,
    max_size: int,
    anisotropy: float,
) -> Plan:
    """Plan the preprocessing from the headers of the training cases and a few of their images.

    The patch is square in plane. Its size is the larger in-plane axis of the median shape after
    resampling, rounded up to a multiple of 16 and limited to `max_size`. Its depth is the depth of
    the median shape, limited to `max_depth`.

    Args:
        dataset: The data set.
        train_ids: Ids of the training cases.
        depth: D of the patch, without a limit; default: planned.
        size: (H, W) of the patch, or one value for both, without a limit; default: planned.
        max_depth: Limit of a planned D.
        max_size: Limit of planned H and W.
        anisotropy: The slices of the depth axis are not resampled if the largest median spacing
            exceeds the second largest by more than this factor. The threshold of nnU-Net is 3.

    Returns:
        The plan.

    Raises:
        InputError: If a header cannot be read; with every problem of the whole data set.
    """
    geometries = _headers(dataset, train_ids)
    usual = _usual_orientation(geometries)
    spacings = np.array(
        [
            [geometry.spacing[axis] for axis in turn_to(usual, geometry).axes]
            for geometry in geometries
        ]
    )
    median = np.median(spacings, axis=0)
    order = np.argsort(median)
    anisotropic = bool(median[order[2]] / median[order[1]] > anisotropy)
    depth_axis = int(order[2]) if anisotropic else 0
    target = [float(median[axis]) for axis in range(3)]
    draft = Plan(
        depth_axis=depth_axis,
        spacing=(
            target[depth_axis],
            *(target[axis] for axis in range(3) if axis != depth_axis),
        ),  # type: ignore[arg-type]  # three numbers, by construction
        anisotropic=anisotropic,
        modality=dataset.modality,
        patch_size=(1, MULTIPLE, MULTIPLE),
        training=tuple(sorted(train_ids)) if dataset.modality == "CT" else (),
        orientation=usual,
    )
    cropped = _cropped(dataset, train_ids)
    if cropped:
        draft, geometries = replace(draft, crop=True), cropped
    shapes = np.median([draft.target_shape(geometry) for geometry in geometries], axis=0)
    if depth is None:
        depth = max(1, min(max_depth, int(shapes[0])))
    if size is None:
        wanted = MULTIPLE * math.ceil(max(shapes[1:]) / MULTIPLE)
        size = max(MULTIPLE, min(wanted, MULTIPLE * (max_size // MULTIPLE)))
    height, width = (size, size) if isinstance(size, int) else size
    return replace(draft, patch_size=(depth, height, width))


def _headers(dataset: DataSet, ids: Iterable[str]) -> list[Geometry]:
    wanted = set(ids)
    cases = [case for case in dataset.cases if case.id in wanted]
    assert cases, "a plan requires training cases"
    try:
        with ThreadPoolExecutor(8) as pool:
            return list(pool.map(lambda case: case.geometry(), cases))
    except InputError:
        # A header is damaged: check the whole data set, so that all problems are reported at once.
        raise InputError(check(dataset)) from None


def _usual_orientation(geometries: Sequence[Geometry]) -> str:
    counts = Counter(orientation(geometry) for geometry in geometries)
    return max(sorted(counts), key=lambda code: counts[code])


def _cropped(dataset: DataSet, train_ids: Sequence[str]) -> list[Geometry]:
    """Return the cropped geometries of a few training volumes; none if their borders are thin.

    CT is never cropped, because zero is an ordinary intensity. Built-in volumes have no borders.
    """
    wanted = sorted(train_ids)[:: max(1, len(train_ids) // SAMPLE)][:SAMPLE]
    if dataset.modality == "CT" or not all(dataset.case(each).files for each in wanted):
        return []
    geometries, shares = [], []
    for each in wanted:
        try:
            volume = dataset.case(each).load()
        except InputError:
            # Preparation reports the problem together with all others.
            continue
        depth, height, width = (stop - start for start, stop in nonzero_box(volume.image))
        geometries.append(replace(volume.geometry, shape=(depth, height, width)))
        shares.append(depth * height * width / volume.image[0].size)
    return geometries if shares and float(np.median(shares)) < CROPPED else []
