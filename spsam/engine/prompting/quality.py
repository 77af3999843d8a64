"""How good a network's own prompts are, against the reference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from spsam.engine.prompting.tiles import Tiles
from spsam.model.networks.self_prompt_sam import SelfPromptSAM
from spsam.model.prompts.extract import extract_prompts


@dataclass(frozen=True)
class Quality:
    """One piece of a case. What is measured by slice is NaN where it has no meaning.

    Attributes:
        counts: `(K, 3)` pixels of the auxiliary label map: in both, in it, in the reference.
        box_iou: `(B·D, K)`, 0 where the class has no prompt; NaN where the reference lacks it.
        inside: `(B·D, K)`, 1 for a point inside the reference; NaN where either lacks the class.
        distance: `(B·D, K)`, the point's distance to the reference's border, pixels, negative
            outside; NaN as `inside`.
    """

    counts: NDArray[np.int64]
    box_iou: NDArray[np.float64]
    inside: NDArray[np.float64]
    distance: NDArray[np.float64]


def measure(network: SelfPromptSAM, auxiliary: Tensor, tiles: Tiles) -> Quality:
    """Compares the prompts that the network makes itself with the reference.

    Args:
        network: Its slot `prompt` is asked.
        auxiliary: `(B, K, D, H, W)` logits.
        tiles: The patches.
    """
    # In the frame of the patch, so that a pixel is a pixel of the reference.
    prompts = network.prompt(auxiliary, network.image_size, network.mask_decoder.mask_size)
    classes = auxiliary.shape[1]
    # What does not count is background in both.
    counted = tiles.counted.cpu().numpy()
    reference = np.where(counted, tiles.reference.cpu().numpy(), 0)
    found = np.where(counted, auxiliary.argmax(dim=1).cpu().numpy(), 0)
    counts = np.array(
        [
            [np.sum((found == k) & (reference == k)), np.sum(found == k), np.sum(reference == k)]
            for k in range(classes)
        ]
    )
    slices = reference.reshape(-1, *reference.shape[2:])
    perfect = extract_prompts(slices, classes, "box_center")
    boxes, present = perfect.boxes, perfect.present
    assert boxes is not None
    prompted = prompts.present.flatten(0, 1).cpu().numpy()
    iou = np.full(present.shape, np.nan)
    iou[present] = 0
    both = present & prompted
    if prompts.boxes is not None:
        asked = prompts.boxes.flatten(0, 1).float().cpu().numpy()
        iou[both] = _iou(asked[both], boxes[both])
    else:
        iou[:] = np.nan
    inside, distance = np.full(present.shape, np.nan), np.full(present.shape, np.nan)
    if prompts.points is not None:
        points = np.rint(prompts.points.flatten(0, 1).float().cpu().numpy()).astype(int)
        for n, k in zip(*np.nonzero(both), strict=True):
            x, y = points[n, k]
            distance[n, k] = border_distance(slices[n] == k, int(x), int(y))
            inside[n, k] = distance[n, k] > 0
    return Quality(counts, iou, inside, distance)


def border_distance(mask: NDArray[np.bool_], x: int, y: int) -> float:
    """Pixels from (x, y) to the nearest pixel on the other side of a mask's border.

    Args:
        mask: `(H, W)`, not empty; what lies beyond the image is outside.
        x: Column.
        y: Row.

    Returns:
        Positive inside, negative outside.
    """
    padded = np.pad(mask, 1)
    side = padded if padded[y + 1, x + 1] else ~padded
    distance = float(ndimage.distance_transform_edt(side)[y + 1, x + 1])
    return distance if side is padded else -distance


def _iou(first: NDArray[np.floating], second: NDArray[np.integer]) -> NDArray[np.float64]:
    """Of boxes `(n, 4)` whose corners are pixels inside."""
    low = np.maximum(first[:, :2], second[:, :2])
    high = np.minimum(first[:, 2:], second[:, 2:])
    common = np.clip(high - low + 1, 0, None).prod(axis=1)
    areas = [(box[:, 2:] - box[:, :2] + 1).prod(axis=1) for box in (first, second)]
    result: NDArray[np.float64] = common / (areas[0] + areas[1] - common)
    return result
