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
"""Kinds of prompts that SAM gets."""

KINDS: Kinds = ("point", "box", "mask")

MaskForm: TypeAlias = Literal["binary", "logits", "log_odds"]
"""What a mask prompt is made of; see `Prompt`."""

FORMS: tuple[str, ...] = get_args(MaskForm)

MASK_VALUES: tuple[float, float] = (-10.0, 10.0)
"""What stands outside and inside a class in a binary mask prompt, unless it is set."""

FOREGROUND, BACKGROUND, PADDING = 1, 0, -1
"""What a point says to SAM: the class is here, it is not here, nothing."""


@dataclass(frozen=True, eq=False)
class Prompts(Generic[ArrayT]):
    """Prompts of every class in every slice, tensors or arrays.

    `...` is `N` for label maps `(N, H, W)` and `B, D` for a network's patches.

    Attributes:
        points: `(..., K, 2)`, (x, y): pixel indices of label maps, or the same places in SAM's
            input frame; None where points are not used.
        boxes: `(..., K, 4)`, x1 y1 x2 y2 of the outermost pixels, both inside; None where boxes
            are not used.
        present: `(..., K)` bool, whether the class is in the slice. Points and boxes of an absent
            class are zero.
        masks: `(B, D, K, 1, 4gh, 4gw)`, mask prompts; None where masks are not used.
        extra_points: `(..., K, P, 2)`, what a rule of several points and `negatives` add, in the
            frame of `points`; zero where there is none. None where no component asks for more.
        extra_labels: `(..., K, P)`, int64: 1 in the class, 0 outside it, -1 no point.
    """

    points: ArrayT | None
    boxes: ArrayT | None
    present: ArrayT
    masks: ArrayT | None = None
    extra_points: ArrayT | None = None
    extra_labels: ArrayT | None = None

    def map(self, function: Callable[[ArrayT], OtherT]) -> Prompts[OtherT]:
        """The same prompts with the function applied to each part that there is."""
        parts = (cast("ArrayT | None", getattr(self, field.name)) for field in fields(self))
        # In the order of the fields; `present` is never None.
        return Prompts(*(None if part is None else function(part) for part in parts))  # type: ignore[arg-type]
