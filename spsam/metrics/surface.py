"""Normalised surface Dice: the share of two surfaces that agrees within a tolerance."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spsam.metrics.dice import check_same_shape, without_ignored

TOLERANCE = 2.0
"""Tolerance in mm [C]: approximately the in-plane resolution of the supported data sets."""


def surface_dice(
    prediction: NDArray[Any],
    reference: NDArray[Any],
    num_classes: int,
    spacing: Sequence[float],
    tolerance: float = TOLERANCE,
) -> NDArray[np.float64]:
    """Compute the normalised surface Dice of every class, as defined by MONAI on surface pixels.

    Args:
        prediction: `(D, H, W)` class indices of an integer type.
        reference: Class indices of the same shape; `IGNORED` voxels are treated as in `hd95`.
        num_classes: K, background included.
        spacing: (z, y, x) in mm.
        tolerance: Largest distance in mm at which two surfaces agree.

    Returns:
        `(K,)` scores in 0…1, background first and always NaN; 0 if only one of the two maps
        contains the class, NaN if neither does.

    Raises:
        InputError: If the shapes differ.
    """
    check_same_shape(prediction, reference)
    prediction, reference = without_ignored(prediction, reference)
    scores = np.full(num_classes, np.nan)
    for k in range(1, num_classes):
        predicted, referred = prediction == k, reference == k
        if predicted.any() and referred.any():
            scores[k] = _score(predicted, referred, spacing, tolerance)
        elif predicted.any() or referred.any():
            scores[k] = 0.0
    return scores


def _score(
    predicted: NDArray[np.bool_],
    referred: NDArray[np.bool_],
    spacing: Sequence[float],
    tolerance: float,
) -> float:
    # Imported here, because MONAI takes seconds to import.
    import torch
    from monai.metrics.surface_dice import compute_surface_dice

    made, wanted = (torch.from_numpy(mask)[None, None] for mask in (predicted, referred))
    with warnings.catch_warnings():
        # MONAI itself passes an argument that it has deprecated.
        warnings.filterwarnings("ignore", category=FutureWarning, module="monai")
        result = compute_surface_dice(
            made, wanted, [tolerance], include_background=True, spacing=list(spacing)
        )
    return float(result)
