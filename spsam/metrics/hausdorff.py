"""The 95th percentile of surface distances, where a missed organ is never a good one."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spsam.errors import InputError

PERCENTILE = 95.0


def hd95(
    prediction: NDArray[Any],
    reference: NDArray[Any],
    num_classes: int,
    spacing: Sequence[float],
) -> NDArray[np.float64]:
    """Symmetric 95 % Hausdorff distance of every class in millimetres, as MONAI defines it.

    Of the surface distances from prediction to reference and of those back, the larger 95th
    percentile. A class that only one of the two has is as far off as the volume is long: its
    diagonal, so that neither a missed nor an invented organ improves a mean [C].

    Args:
        prediction: `(D, H, W)` class indices, of an integer type.
        reference: The same shape.
        num_classes: K, background included.
        spacing: (z, y, x) mm.

    Returns:
        `(K,)` mm, background first and always NaN; NaN for a class that neither has.

    Raises:
        InputError: If the shapes differ, or there is not one spacing an axis.
    """
    if prediction.shape != reference.shape:
        raise InputError(
            "prediction and reference are to have the same shape: "
            f"got {prediction.shape} and {reference.shape}"
        )
    if len(spacing) != prediction.ndim or min(spacing) <= 0:
        raise InputError(
            f"expected a positive spacing for each of {prediction.ndim} axes, got {tuple(spacing)}"
        )
    distances = np.full(num_classes, np.nan)
    for k in range(1, num_classes):
        predicted, referred = prediction == k, reference == k
        if predicted.any() and referred.any():
            distances[k] = _distance(predicted, referred, spacing)
        elif predicted.any() or referred.any():
            distances[k] = np.linalg.norm(np.multiply(prediction.shape, spacing))
    return distances


def _distance(
    predicted: NDArray[np.bool_], referred: NDArray[np.bool_], spacing: Sequence[float]
) -> float:
    # MONAI takes seconds to import.
    import torch
    from monai.metrics.hausdorff_distance import compute_hausdorff_distance

    made, wanted = (torch.from_numpy(mask)[None, None] for mask in (predicted, referred))
    with warnings.catch_warnings():
        # MONAI calls a function of its own with an argument that it has deprecated.
        warnings.filterwarnings("ignore", category=FutureWarning, module="monai")
        result = compute_hausdorff_distance(
            made, wanted, include_background=True, percentile=PERCENTILE, spacing=list(spacing)
        )
    return float(result)
