"""Postprocessing that keeps the largest connected component of a class, as in nnU-Net."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spsam.config.schema import DataIdentity, InferenceConfig
from spsam.metrics.regions import region_map

# Voxels that share a face, an edge or a corner are connected: 26 neighbours.
_NEIGHBOURS = np.ones((3, 3, 3), bool)


def postprocessed(
    labels: NDArray[np.integer], inference: InferenceConfig, data: DataIdentity
) -> NDArray[np.integer]:
    """Applies `inference.keep_largest` to a label map.

    Args:
        labels: `(D, H, W)` class indices on the original grid.
        inference: Inference settings of the run.
        data: Classes and regions of the data set.

    Returns:
        The same array if the setting is off, otherwise a new one.
    """
    wanted = inference.keep_largest
    if wanted is False:
        return labels
    all_names = data.scored_names
    chosen = [all_names.index(name) for name in (all_names[1:] if wanted is True else wanted)]
    if not data.regions:
        return keep_largest(labels, chosen)
    # One region after the other, as in nnU-Net: voxels removed from one are missing in the next.
    # In the data set's order, because the order in a configuration has no meaning.
    for number in sorted(chosen):
        region = region_map(labels, data.region_classes[number - 1], data.num_classes)
        labels = np.where(region != keep_largest(region, [1]), 0, labels)
    return labels


def keep_largest(labels: NDArray[np.integer], classes: Sequence[int]) -> NDArray[np.integer]:
    """Replaces all but the largest component of each class by background.

    Size is the number of voxels. If several components have the largest size, all of them are kept,
    as in nnU-Net, so that the result does not depend on the order of the axes.

    Args:
        labels: `(D, H, W)` class indices.
        classes: Classes to process, each independently.

    Returns:
        A new label map of the same type.
    """
    kept = labels.copy()
    boxes = ndimage.find_objects(labels, max(classes, default=0))
    for k in classes:
        if boxes[k - 1] is None:
            continue
        inside = labels[boxes[k - 1]] == k
        numbers, count = ndimage.label(inside, _NEIGHBOURS)
        if count < 2:
            continue
        sizes = np.zeros(count + 1, np.intp)
        # Counted by slice, because `bincount` converts its input to 64-bit integers.
        for plane in numbers:
            sizes += np.bincount(plane.ravel(), minlength=count + 1)
        sizes[0] = 0
        small = sizes < sizes.max()
        small[0] = False
        kept[boxes[k - 1]][small[numbers]] = 0
    return kept
