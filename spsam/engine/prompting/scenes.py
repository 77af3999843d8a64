"""One slice with its prompts and predictions, as arrays for a figure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spsam.data.labels import without_ignored
from spsam.data.preparation.store import PreparedCase
from spsam.engine.prompting.evaluator import PromptEvaluator, PromptSpec
from spsam.engine.prompting.tiles import Triple, cut_tiles
from spsam.metrics.dice import dice_of_counts
from spsam.model.prompts.base import Prompts


@dataclass(frozen=True)
class PromptScene:
    """Prompts and prediction of one slice for one kind of prompting, in pixels of the image.

    Attributes:
        image: `(H, W)`, first channel.
        reference: `(H, W)` label map.
        logits: `(K, H, W)` raw logits; NaN for a class that is never prompted.
        labels: `(H, W)`, the mask head's label map; None if it is not evaluated.
        present: `(K,)`, whether a class has a prompt.
        points: (class, x, y, whether the point is positive).
        boxes: `(K, 4)`; None without boxes.
        masks: `(K, h, w)`, pixels inside the mask prompts; None without masks.
        aspect: Height over width of a pixel.
    """

    image: NDArray[np.float32]
    reference: NDArray[np.int64]
    logits: NDArray[np.float32]
    labels: NDArray[np.int64] | None
    present: NDArray[np.bool_]
    points: tuple[tuple[int, float, float, bool], ...]
    boxes: NDArray[np.float32] | None
    masks: NDArray[np.bool_] | None
    aspect: float = 1.0

    @property
    def answer(self) -> NDArray[np.bool_]:
        """The predicted masks that are scored, `(K, H, W)`.

        These are the classes of the label map if there is one, otherwise the binary masks, empty
        for a class without a prompt.
        """
        found: NDArray[np.bool_] = (self.logits > 0) & self.present[:, None, None]
        if self.labels is not None:
            found = self.labels == np.arange(len(self.logits))[:, None, None]
        return found

    def dice(self) -> float:
        """Computes the mean Dice of the prediction over the foreground classes of the reference."""
        classes = np.arange(len(self.logits))[:, None, None]
        reference = self.reference == classes
        parts = (self.answer & reference, self.answer, reference)
        scores = dice_of_counts(*(part.sum(axis=(1, 2)) for part in parts))
        there = reference.any(axis=(1, 2))
        there[0] = False
        return float(scores[there].mean()) if there.any() else float("nan")


@torch.inference_mode()
def scenes(
    examiner: PromptEvaluator, case: PreparedCase, questions: Sequence[PromptSpec]
) -> list[PromptScene]:
    """Computes the scenes of several kinds of prompting in the slice with the most classes.

    Args:
        examiner: Evaluates the network.
        case: The prepared case.
        questions: Kinds of prompting.
    """
    start, depth = _busiest(case, examiner.size)
    piece = examiner.piece(cut_tiles(case, examiner.size, [start]), case.id)
    aspect = case.spacing[1] / case.spacing[2]
    head = examiner.network.mask_head
    found: list[PromptScene] = []
    for masks, prompts in examiner.masks(piece, questions):
        labels = None if examiner.first_class else _array(head.labels(head(masks))[0, depth])
        drawn = _Drawn(prompts, depth, examiner.first_class, examiner.scale)
        found.append(
            PromptScene(
                image=_array(piece.tiles.images[0, 0, depth]),
                reference=_array(piece.tiles.reference[0, depth].clamp(min=0)),
                logits=drawn.padded(_array(masks[0, :, depth].float()), np.nan),
                labels=labels,
                present=drawn.present,
                points=tuple(drawn.points()),
                boxes=drawn.boxes(),
                masks=drawn.masks(),
                aspect=aspect,
            )
        )
    return found


def _busiest(case: PreparedCase, size: Triple) -> tuple[Triple, int]:
    """Selects the slice with the most classes and, in a tie, the most foreground.

    Returns:
        The first voxel of a patch whose centre is as near as possible to the centre of the slice's
        foreground, and the index of the slice in that patch.
    """
    label = without_ignored(np.asarray(case.label))
    shows = [(len(np.unique(slice_)), int((slice_ > 0).sum())) for slice_ in label]
    busiest = shows.index(max(shows))
    places = np.argwhere(label[busiest] > 0)
    if not places.size:
        places = np.array([[0, 0], label.shape[1:]])
    middle = (busiest, *((places.min(axis=0) + places.max(axis=0)) // 2))
    start = []
    for at, whole, tile in zip(middle, label.shape, size, strict=True):
        spare = whole - tile
        start.append(-(-spare // 2) if spare < 0 else int(np.clip(at - tile // 2, 0, spare)))
    return (start[0], start[1], start[2]), busiest - start[0]


class _Drawn:
    """The prompts of one slice in pixels of the image, with empty rows for unprompted classes."""

    def __init__(
        self, prompts: Prompts, depth: int, first: int, scale: tuple[float, float]
    ) -> None:
        values = {field.name: getattr(prompts, field.name) for field in fields(prompts)}
        self._values = {
            name: _array(value[0, depth]) for name, value in values.items() if value is not None
        }
        self._first = first
        self._scale = np.array(scale)
        self.present = self.padded(self._values["present"], 0)

    def padded(self, array: NDArray[Any], fill: float) -> NDArray[Any]:
        return np.concatenate([np.full((self._first, *array.shape[1:]), fill, array.dtype), array])

    def boxes(self) -> NDArray[Any] | None:
        if "boxes" not in self._values:
            return None
        return self.padded(self._placed(self._values["boxes"].reshape(-1, 2, 2)), 0).reshape(-1, 4)

    def masks(self) -> NDArray[Any] | None:
        if "masks" not in self._values:
            return None
        masks = self._values["masks"][:, 0]
        return self.padded(masks > 0, 0)

    def points(self) -> Iterator[tuple[int, float, float, bool]]:
        """Iterates over all points of prompted classes, including further and negative ones."""
        if "points" not in self._values:
            return
        for k in np.flatnonzero(self.present):
            at = int(k) - self._first
            found = [(self._values["points"][at], 1)]
            if "extra_points" in self._values:
                more = self._values["extra_points"][at], self._values["extra_labels"][at]
                found += list(zip(*more, strict=True))
            for point, kind in found:
                if kind >= 0:  # -1 is padding
                    x, y = self._placed(point).tolist()
                    yield int(k), x, y, bool(kind == 1)

    def _placed(self, places: NDArray[Any]) -> NDArray[Any]:
        placed: NDArray[Any] = (places + 0.5) / self._scale - 0.5
        return placed


def _array(tensor: Tensor) -> NDArray[Any]:
    values = tensor.float() if tensor.dtype == torch.bfloat16 else tensor
    array: NDArray[Any] = values.cpu().numpy()
    return array
