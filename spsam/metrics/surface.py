"""How much of two surfaces lies within a tolerance."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spsam.metrics.dice import check_same_shape, without_ignored

TOLERANCE = 2.0
"""mm [C]: about the in-plane resolution of the data sets at hand."""


def surface_dice(
    prediction: NDArray[Any],
    reference: NDArray[Any],
    num_classes: int,
    spacing: Sequence[float],
    tolerance: float = TOLERANCE,
) -> NDArray[np.float64]:
    """Normalised surface Dice of every class, as MONAI defines it, by pixels of the surfaces.

    Args:
        prediction: `(D, H, W)` class indices, of an integer type.
        reference: The same shape; its `IGNORED` voxels are treated as in `hd95`.
        num_classes: K, background included.
        spacing: (z, y, x) mm.
        tolerance: mm within which two surfaces agree.

    Returns:
        `(K,)` in 0…1, background first and always NaN; 0 where only one of the two has the class,
        NaN where none has.

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
    # MONAI takes seconds to import.
    import torch
    from monai.metrics.surface_dice import compute_surface_dice

    made, wanted = (torch.from_numpy(mask)[None, None] for mask in (predicted, referred))
    with warnings.catch_warnings():
        # MONAI calls a function of its own with an argument that it has deprecated.
        warnings.filterwarnings("ignore", category=FutureWarning, module="monai")
        result = compute_surface_dice(
            made, wanted, [tolerance], include_background=True, spacing=list(spacing)
        )
    return float(result)
