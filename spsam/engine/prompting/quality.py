"""Quality of a network's own prompts, compared with the reference."""

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
    """Quality of the prompts in one piece of a case; values by slice are NaN where undefined.

    Attributes:
        counts: `(K, 3)` pixels of the auxiliary label map: overlap, prediction, reference.
        box_iou: `(B·D, K)`, 0 if the class has no prompt; NaN if the reference lacks the class.
        inside: `(B·D, K)`, 1 for a point inside the reference, otherwise 0; NaN if prompt or
            reference lacks the class.
        distance: `(B·D, K)`, distance of the point to the reference's border, pixels, negative
            outside; NaN as in `inside`.
    """

    counts: NDArray[np.int64]
    box_iou: NDArray[np.float64]
    inside: NDArray[np.float64]
    distance: NDArray[np.float64]


def measure(network: SelfPromptSAM, auxiliary: Tensor, tiles: Tiles) -> Quality:
    """Compares the network's own prompts with the reference.

    Args:
        network: The network, whose slot `prompt` derives the prompts.
        auxiliary: `(B, K, D, H, W)` logits.
        tiles: The patches.
    """
    # In the frame of the patch, so that its pixels are those of the reference.
    prompts = network.prompt(auxiliary, network.image_size, network.mask_decoder.mask_size)
    classes = auxiliary.shape[1]
    # Pixels that do not count are background in both label maps.
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
    """Computes the distance from (x, y) to the nearest pixel on the other side of a mask's border.

    Args:
        mask: `(H, W)`, not empty; the area beyond the image is outside.
        x: Column.
        y: Row.

    Returns:
        Pixels, positive inside, negative outside.
    """
    padded = np.pad(mask, 1)
    side = padded if padded[y + 1, x + 1] else ~padded
    distance = float(ndimage.distance_transform_edt(side)[y + 1, x + 1])
    return distance if side is padded else -distance


def _iou(first: NDArray[np.floating], second: NDArray[np.integer]) -> NDArray[np.float64]:
    """Computes the IoU of boxes `(n, 4)` with inclusive corners."""
    low = np.maximum(first[:, :2], second[:, :2])
    high = np.minimum(first[:, 2:], second[:, 2:])
    common = np.clip(high - low + 1, 0, None).prod(axis=1)
    areas = [(box[:, 2:] - box[:, :2] + 1).prod(axis=1) for box in (first, second)]
    result: NDArray[np.float64] = common / (areas[0] + areas[1] - common)
    return result
