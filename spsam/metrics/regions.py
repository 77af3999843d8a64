"""Any measure of label maps, of regions: unions of classes, which may overlap."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spsam.metrics.dice import IGNORED

Measure = Callable[[NDArray[Any], NDArray[Any], int], NDArray[Any]]
"""From two label maps and K to `(..., K)`, the background first."""


def of_regions(
    measure: Measure,
    prediction: NDArray[Any],
    reference: NDArray[Any],
    num_classes: int,
    regions: Sequence[Sequence[int]] = (),
) -> NDArray[Any]:
    """A measure of each region as one class of two; without regions, of each class.

    Args:
        measure: Such as `dice`, with a convention bound.
        prediction: Class indices of an integer type, any shape that the measure takes.
        reference: The same shape; `IGNORED` voxels stay so.
        num_classes: K, background included.
        regions: T lists of the classes that form each region, without the background.

    Returns:
        `(..., 1 + T)`: the background, which is everything outside of all classes, and the regions
        in their order; `(..., K)` without regions.
    """
    if not regions:
        return measure(prediction, reference, num_classes)
    found = []
    for number, classes in enumerate((range(1, num_classes), *regions)):
        made, wanted = (region_map(x, classes, num_classes) for x in (prediction, reference))
        found.append(measure(made, wanted, 2)[..., int(number > 0)])
    return np.stack(found, axis=-1)


def region_map(
    labels: NDArray[Any], classes: Sequence[int], num_classes: int
) -> NDArray[np.integer[Any]]:
    """1 in a region, 0 elsewhere, and `IGNORED` where the label map is.

    Args:
        labels: Class indices in 0 … K-1, or `IGNORED`.
        classes: Those of the region.
        num_classes: K.
    """
    assert labels.max(initial=0) < num_classes, "a label map of other classes"
    # `IGNORED` is the table's last entry, as -1 is of any array.
    table = np.zeros(num_classes + 1, np.int8)
    table[list(classes)] = 1
    table[IGNORED] = IGNORED
    mapped: NDArray[np.integer[Any]] = table[labels]
    return mapped
