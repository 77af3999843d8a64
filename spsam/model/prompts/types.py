"""Types of prompts and of the arrays that point rules use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Generic, Literal, TypeAlias, cast, get_args

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import TypeVar

ArrayT = TypeVar("ArrayT", default=Tensor)
OtherT = TypeVar("OtherT")

Labels: TypeAlias = NDArray[np.integer[Any]]
Indices: TypeAlias = NDArray[np.int64]
Flags: TypeAlias = NDArray[np.bool_]

Kinds: TypeAlias = tuple[Literal["point", "box", "mask"], ...]
"""Kinds of prompts passed to SAM."""

KINDS: Kinds = ("point", "box", "mask")

MaskForm: TypeAlias = Literal["binary", "logits", "log_odds"]
"""Content of a mask prompt; see `Prompt`."""

FORMS: tuple[str, ...] = get_args(MaskForm)

MASK_VALUES: tuple[float, float] = (-10.0, 10.0)
"""Default values outside and inside a class in a binary mask prompt."""

FOREGROUND, BACKGROUND, PADDING = 1, 0, -1
"""Labels of points: inside the class, outside the class, no point."""


@dataclass(frozen=True, eq=False)
class Prompts(Generic[ArrayT]):
    """Prompts of every class in every slice, as tensors or arrays.

    `...` is `N` for label maps `(N, H, W)` and `B, D` for a network's patches.

    Attributes:
        points: `(..., K, 2)`, (x, y): pixel indices in label maps, or the same positions in SAM's
            input frame; None if points are not used.
        boxes: `(..., K, 4)`, x1 y1 x2 y2 of the outermost pixels, both inside; None if boxes are
            not used.
        present: `(..., K)` bool, whether the class is in the slice. Points and boxes of an absent
            class are zero.
        masks: `(B, D, K, 1, 4gh, 4gw)`, mask prompts; None if masks are not used.
        extra_points: `(..., K, P, 2)`, further points of a rule with several points or of
            `negatives`, in the frame of `points`; zero for missing points. None if the component
            selects only one point.
        extra_labels: `(..., K, P)`, int64: 1 in the class, 0 outside it, -1 no point.
    """

    points: ArrayT | None
    boxes: ArrayT | None
    present: ArrayT
    masks: ArrayT | None = None
    extra_points: ArrayT | None = None
    extra_labels: ArrayT | None = None

    def map(self, function: Callable[[ArrayT], OtherT]) -> Prompts[OtherT]:
        """Applies a function to each part that is not None."""
        parts = (cast("ArrayT | None", getattr(self, field.name)) for field in fields(self))
        # In the order of the fields; `present` is never None.
        return Prompts(*(None if part is None else function(part) for part in parts))  # type: ignore[arg-type]
