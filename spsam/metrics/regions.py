"""Measures of label maps, applied to regions: unions of classes, which may overlap."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spsam.metrics.dice import IGNORED

Measure = Callable[[NDArray[Any], NDArray[Any], int], NDArray[Any]]
"""Function of prediction, reference and K that returns `(..., K)`, background first."""


def of_regions(
    measure: Measure,
    prediction: NDArray[Any],
    reference: NDArray[Any],
    num_classes: int,
    regions: Sequence[Sequence[int]] = (),
) -> NDArray[Any]:
    """Apply a measure to each region as a two-class problem, or to each class without regions.

    Args:
        measure: A function such as `dice` with a convention bound.
        prediction: Class indices of an integer type, any shape that the measure accepts.
        reference: Class indices of the same shape; `IGNORED` voxels remain ignored.
        num_classes: K, background included.
        regions: T lists of the foreground classes that form each region.

    Returns:
        `(..., 1 + T)`: the background, which is the complement of all foreground classes, then the
        regions in the given order. Without regions, `(..., K)`.
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
    """Convert a label map to a region map: 1 in the region, 0 elsewhere, `IGNORED` unchanged.

    Args:
        labels: Class indices in 0 … K-1, or `IGNORED`.
        classes: The classes that form the region.
        num_classes: K.

    Returns:
        Region map of the same shape.
    """
    assert labels.max(initial=0) < num_classes, "label map contains an unknown class"
    # `IGNORED` is -1 and therefore indexes the last entry of the table.
    table = np.zeros(num_classes + 1, np.int8)
    table[list(classes)] = 1
    table[IGNORED] = IGNORED
    mapped: NDArray[np.integer[Any]] = table[labels]
    return mapped
