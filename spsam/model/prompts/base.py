"""Base class of prompt components: everything except the point strategy."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from spsam.errors import nearest, require
from spsam.model.prompts.rules import masks, torch_points
from spsam.model.prompts.rules.points import bounding_boxes, points_outside
from spsam.model.prompts.types import (
    BACKGROUND,
    FOREGROUND,
    FORMS,
    KINDS,
    MASK_VALUES,
    PADDING,
    Flags,
    Indices,
    Kinds,
    Labels,
    MaskForm,
    Prompts,
)

__all__ = ["Prompt", "Prompts"]


class Prompt(nn.Module, ABC):
    """Derives SAM's prompts from auxiliary logits: points, a box and a mask per class and slice.

    Components differ in `points`, the rule that selects the points; subclasses define only this
    method. No parameters are trained.

    Args:
        num_classes: K, number of classes including the background.
        use: Kinds of prompts passed to SAM.
        mask: Content of a mask prompt. `binary`: the class's channel of the one-hot label map, as
            in the paper (Sec. 1, App. A); it carries no gradient. `log_odds`: log p / (1 - p) of
            the auxiliary softmax (chosen here); it carries a gradient, through which the final
            masks' loss reaches the generator. `logits`: the raw auxiliary logits (chosen here);
            they also carry a gradient, but a constant added to all classes' logits changes every
            mask prompt without changing the labels.
        mask_values: (outside, inside) of a binary mask prompt. SAM was trained on logits as mask
            prompts; the default was selected by Dice on validation cases. The author's code uses 0
            and 1.
        negatives: Number of negative points near the class; they are part of the prompt `point`.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        use: Kinds = KINDS,
        mask: MaskForm = "binary",
        mask_values: tuple[float, float] = MASK_VALUES,
        negatives: int = 0,
    ) -> None:
        super().__init__()
        outside, inside = mask_values
        require(
            *(
                (kind in KINDS, f"unknown kind of prompt '{kind}'{nearest(kind, KINDS)}")
                for kind in use
            ),
            (use, f"SAM requires at least one kind of prompt: {', '.join(KINDS)}"),
            (mask in FORMS, f"unknown mask prompt '{mask}'{nearest(mask, FORMS)}"),
            (
                -math.inf < outside <= 0 < inside < math.inf,
                "mask_values (outside and inside a class) must be finite, the first at most 0, the "
                f"second above 0, because SAM expects mask logits: got [{outside:g}, {inside:g}]",
            ),
            (negatives >= 0, f"negatives must be at least 0: got {negatives}"),
        )
        self.num_classes = num_classes
        self.use = tuple(use)
        self.mask = mask
        self.mask_values = (float(outside), float(inside))
        self.negatives = negatives

    @abstractmethod
    def points(self, labels: Labels, boxes: Indices, present: Flags) -> Indices:
        """Selects the points of every class in every slice.

        Args:
            labels: `(N, H, W)` class indices.
            boxes: `(N, K, 4)` tight bounding boxes, x1 y1 x2 y2, inclusive pixel indices.
            present: `(N, K)`, whether the class is in the slice.

        Returns:
            `(N, K, 2)` (x, y) pixel indices, zero for an absent class. Strategies with several
            points return `(N, K, P, 2)`, with the first point as above and -1 in both coordinates
            for missing points.
        """

    def points_on_device(self, labels: Tensor, boxes: Tensor, present: Tensor) -> Tensor | None:
        """Selects the same pixels as `points` on int64 tensors, without synchronising the device.

        Args:
            labels: `(N, H, W)` class indices.
            boxes: `(N, K, 4)` tight bounding boxes, x1 y1 x2 y2, inclusive pixel indices.
            present: `(N, K)`, whether the class is in the slice.

        Returns:
            As in `points`; None if the component has no such rule. Label maps are then copied to
            the host.
        """
        return None

    def forward(
        self, logits: Tensor, encoder_size: tuple[int, int], mask_size: tuple[int, int]
    ) -> Prompts:
        """Derives prompts from auxiliary logits.

        A class whose logit is NaN never wins a pixel, and a pixel whose logits are all NaN is
        background. Mask prompts of logits or log-odds keep NaN, so that diverged training is
        detected.

        Args:
            logits: `(B, K, D, H, W)`.
            encoder_size: (h, w) of the encoder's input, the frame of points and boxes, pixels.
            mask_size: (4gh, 4gw), size of a mask prompt.

        Returns:
            Points `(B, D, K, 2)` and boxes `(B, D, K, 4)` in the encoder's frame, float32 and
            without gradient, presence `(B, D, K)`, and masks `(B, D, K, 1, 4gh, 4gw)`, which carry
            a gradient unless they are binary. Kinds that are not in `use` are None.
        """
        # On a CPU, this is several times as fast as argmax.
        labels = _without_nan(logits.detach()).max(dim=1).indices
        pixels = self.extract(labels.flatten(0, 1))
        scale = (encoder_size[1] / logits.shape[4], encoder_size[0] / logits.shape[3])

        def unfold(slices: Tensor) -> Tensor:
            return slices.reshape(*labels.shape[:2], *slices.shape[1:])

        def framed(places: Tensor | None, there: Tensor | None) -> Tensor | None:
            if places is None or there is None:
                return None
            return unfold(to_frame(places, there, scale))

        kinds = pixels.extra_labels
        return Prompts(
            points=framed(pixels.points, pixels.present),
            boxes=framed(pixels.boxes, pixels.present),
            present=unfold(pixels.present),
            masks=self._masks(logits, labels, mask_size) if "mask" in self.use else None,
            extra_points=framed(pixels.extra_points, None if kinds is None else kinds != PADDING),
            extra_labels=None if kinds is None else unfold(kinds),
        )

    @overload
    def extract(self, labels: NDArray[Any]) -> Prompts[NDArray[Any]]: ...

    @overload
    def extract(self, labels: Tensor) -> Prompts[Tensor]: ...

    def extract(self, labels: NDArray[Any] | Tensor) -> Prompts[NDArray[Any]] | Prompts[Tensor]:
        """Extracts points and boxes from label maps; masks and kinds not in `use` are None.

        On a GPU, nothing is copied to the host and the device is not synchronised, unless the
        component has no `points_on_device` or selects negative points.

        Args:
            labels: `(N, H, W)` class indices in 0 … K-1; the range is not validated.

        Returns:
            int64 pixel indices in the label maps: arrays for an array, tensors on the same device
            for a tensor.
        """
        if not isinstance(labels, Tensor):
            small = labels.astype(np.min_scalar_type(self.num_classes), copy=False)
            return self._on_host(small).map(Tensor.numpy)
        device = labels.device
        prompts = None if device.type == "cpu" else self._on_device(labels.detach().long())
        if prompts is None:
            maps = labels.detach().to(_smallest(self.num_classes)).cpu().numpy()
            prompts = self._on_host(maps).map(lambda part: part.to(device))
        return prompts

    def _on_host(self, labels: Labels) -> Prompts:
        boxes, present = bounding_boxes(labels, self.num_classes)
        points = negatives = None
        if "point" in self.use:
            points = torch.from_numpy(self.points(labels, boxes, present))
            if self.negatives:
                outside = points_outside(labels, boxes, present, count=self.negatives)
                negatives = torch.from_numpy(outside)
        return self._joined(points, torch.from_numpy(boxes), torch.from_numpy(present), negatives)

    def _on_device(self, labels: Tensor) -> Prompts | None:
        """Extracts prompts on the labels' device; None if only the host can do it."""
        boxes, present = torch_points.bounding_boxes(labels, self.num_classes)
        if "point" not in self.use:
            return self._joined(None, boxes, present, None)
        points = None if self.negatives else self.points_on_device(labels, boxes, present)
        return None if points is None else self._joined(points, boxes, present, None)

    def _joined(
        self, points: Tensor | None, boxes: Tensor, present: Tensor, negatives: Tensor | None
    ) -> Prompts:
        """Separates each class's first point from further points and assigns labels to these."""
        used = boxes if "box" in self.use else None
        if points is None:
            return Prompts(None, used, present)
        if points.ndim == 3:
            points = points[:, :, None]
        first, more = points[:, :, 0], points[:, :, 1:]
        kinds = torch.full_like(more[..., 0], FOREGROUND)
        if negatives is not None:
            more = torch.cat([more, negatives], dim=2)
            kinds = torch.cat([kinds, torch.full_like(negatives[..., 0], BACKGROUND)], dim=2)
        if more.shape[2] == 0:
            return Prompts(first, used, present)
        kinds = torch.where(more[..., 0] < 0, PADDING, kinds)
        more = more.clamp(min=0)
        return Prompts(first, used, present, extra_points=more, extra_labels=kinds)

    def _masks(self, logits: Tensor, labels: Tensor, size: tuple[int, int]) -> Tensor:
        """Computes mask prompts `(B, D, K, 1, 4gh, 4gw)` in the logits' type."""
        if self.mask == "binary":
            full = masks.binary(labels, self.num_classes, self.mask_values)
        else:
            full = masks.log_odds(logits) if self.mask == "log_odds" else logits
        small = masks.reduced(full, size).to(logits.dtype)
        return small.transpose(1, 2).unsqueeze(3)


def to_frame(pixels: Tensor, present: Tensor, scale: tuple[float, float]) -> Tensor:
    """Converts pixel indices to another frame that is `scale` times as large.

    Pixel centres are mapped to each other: index i has its centre at i + 0.5, so that it is mapped
    to (i + 0.5)·s - 0.5.

    Args:
        pixels: `(..., 2n)`, alternating x and y.
        present: `(...)`; absent entries stay zero.
        scale: (x, y).

    Returns:
        The same shape, float32.
    """
    places = pixels.double() + 0.5
    # Axis by axis, because a tensor with the scale would have to be copied to the device.
    for axis, factor in enumerate(scale):
        places[..., axis::2] *= factor
    return torch.where(present[..., None], places - 0.5, 0.0).float()


def _without_nan(logits: Tensor) -> Tensor:
    """Replaces NaN by -inf; otherwise, `max` would return NaN as the largest logit."""
    return logits.nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)


def _smallest(num_classes: int) -> torch.dtype:
    """Selects an integer type that can represent K: the distance transform shifts labels by one."""
    return torch.uint8 if num_classes <= torch.iinfo(torch.uint8).max else torch.int32
