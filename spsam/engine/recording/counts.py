"""Counts of one case by slice and by confidence, updated while its label map is computed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spsam.data.labels import IGNORED, narrow_indices
from spsam.data.preparation.store import PreparedCase
from spsam.metrics.dice import counts
from spsam.metrics.regions import of_regions
from spsam.results.measures import BINS, MARGIN, Measures


class CaseCounts:
    """Counts of one case, updated piece by piece.

    Args:
        case: The case.
        reference: `(D, H, W)` class indices on the original grid, array axes (z, y, x); ignored
            voxels are not counted.
        num_classes: K, number of classes including the background.
        activation: Activation of the mask head.
        regions: Regions of the data set; see `of_regions`.
    """

    def __init__(
        self,
        case: PreparedCase,
        reference: NDArray[np.integer],
        num_classes: int,
        activation: str,
        regions: Sequence[Sequence[int]] = (),
    ) -> None:
        self.case = case.id
        self._reference = torch.from_numpy(
            np.ascontiguousarray(narrow_indices(as_prepared(reference, case)))
        )
        spacing = [case.original.spacing[axis] for axis in case.axes]
        self._box = around(self._reference.numpy() > 0, spacing, MARGIN)
        self._num_classes = num_classes
        self._activation = activation
        self._regions = regions
        scored = 1 + len(regions) if regions else num_classes
        self.counts = np.zeros((len(self._reference), scored, 3), np.int64)
        self.voxels = np.zeros(BINS, np.int64)
        self.confidence = np.zeros(BINS)
        self.correct = np.zeros(BINS, np.int64)

    def add(self, first: int, logits: Tensor, labels: Tensor) -> None:
        """Counts some slices.

        Args:
            first: Index of the first slice.
            logits: `(K, n, H, W)` on the original grid, depth axis first.
            labels: `(n, H, W)` predicted class indices.
        """
        reference = self._reference[first : first + len(labels)]
        predicted = labels.cpu()
        self.add_labels(first, predicted.numpy())
        if self._box is None:
            return
        depth, rows, columns = self._box
        start, stop = max(depth.start, first), min(depth.stop, first + len(labels))
        if start < stop:
            inside = (slice(start - first, stop - first), rows, columns)
            sure = confidences(logits[(slice(None), *inside)], labels[inside], self._activation)
            right = predicted[inside] == reference[inside]
            annotated = (reference[inside] != IGNORED).numpy().ravel()
            self._bin(
                sure.double().cpu().numpy().ravel()[annotated], right.numpy().ravel()[annotated]
            )

    def add_labels(self, first: int, labels: NDArray[np.integer]) -> None:
        """Counts some slices of a label map without probabilities.

        Args:
            first: Index of the first slice.
            labels: `(n, H, W)` class indices on the original grid, depth axis first.
        """
        for index, predicted in enumerate(labels, start=first):
            pair = (predicted, self._reference[index].numpy())
            found = of_regions(_table, *pair, self._num_classes, self._regions)
            self.counts[index] = found.T

    def _bin(self, sure: NDArray[np.float64], right: NDArray[np.bool_]) -> None:
        sure, right = sure[~np.isnan(sure)], right[~np.isnan(sure)]
        bins = np.minimum((sure * BINS).astype(np.intp), BINS - 1)
        self.voxels += np.bincount(bins, minlength=BINS)
        self.confidence += np.bincount(bins, weights=sure, minlength=BINS)
        self.correct += np.bincount(bins[right], minlength=BINS)


def _table(
    prediction: NDArray[Any], reference: NDArray[Any], num_classes: int
) -> NDArray[np.int64]:
    return np.stack(counts(prediction, reference, num_classes))


def as_prepared(array: NDArray[Any], case: PreparedCase) -> NDArray[Any]:
    """Crops and reorients an array as in the preparation, at its original resolution.

    Args:
        array: `(D, H, W)` on the original grid, array axes (z, y, x).
        case: The case.
    """
    if case.box is not None:
        array = array[tuple(slice(*bounds) for bounds in case.box)]
    return case.turn.there(array)


def confidences(logits: Tensor, labels: Tensor, activation: str) -> Tensor:
    """Computes the probability that the network assigns to its predicted class.

    Args:
        logits: `(K, n, h, w)`.
        labels: `(n, h, w)` class indices.
        activation: `softmax` or `sigmoid`; see `Measures`.

    Returns:
        `(n, h, w)` in 0…1.
    """
    index = labels.long()[None]
    if activation == "softmax":
        # Only the probability of the predicted class is computed.
        chosen: Tensor = logits.gather(0, index)[0] - torch.logsumexp(logits, dim=0)
        return chosen.exp()
    named = logits.gather(0, index)[0]
    if len(logits) == 1:
        return torch.sigmoid(named)
    by_default = (labels == 0) & (named <= 0)
    return torch.sigmoid(torch.where(by_default, -logits[1:].amax(dim=0), named))


def around(
    mask: NDArray[np.bool_], spacing: Sequence[float], margin: float
) -> tuple[slice, ...] | None:
    """Computes the bounding box of a mask, enlarged by a margin within the array; None if empty.

    Args:
        mask: Array of any shape.
        spacing: Spacing of each axis, mm.
        margin: Margin on each side, mm.
    """
    box = []
    for axis, (size, step) in enumerate(zip(mask.shape, spacing, strict=True)):
        others = tuple(other for other in range(mask.ndim) if other != axis)
        filled = np.flatnonzero(mask.any(axis=others))
        if not filled.size:
            return None
        more = int(np.ceil(margin / step))
        box.append(slice(max(0, int(filled[0]) - more), min(size, int(filled[-1]) + 1 + more)))
    return tuple(box)


def gather(cases: Sequence[CaseCounts], num_classes: int, activation: str) -> Measures:
    """Combines the counts of all cases to the measures of a run.

    Args:
        cases: Completed counts.
        num_classes: Number of scored classes, including the background.
        activation: Activation of the mask head.
    """
    depths = [len(case.counts) for case in cases]
    nothing = np.zeros((0, num_classes, 3), np.int64)
    return Measures(
        cases=tuple(case.case for case in cases),
        case=np.repeat(np.arange(len(cases), dtype=np.int32), depths),
        slice=np.concatenate([np.arange(depth, dtype=np.int32) for depth in (0, *depths)]),
        counts=np.concatenate([nothing, *(case.counts for case in cases)]),
        voxels=np.array([case.voxels for case in cases]).reshape(-1, BINS),
        confidence=np.array([case.confidence for case in cases]).reshape(-1, BINS),
        correct=np.array([case.correct for case in cases]).reshape(-1, BINS),
        activation=activation,
    )
