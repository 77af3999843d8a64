"""Assembly of predicted masks to a label map of the case, like a run's prediction."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from spsam.data.preparation.restore import restore_labels, write_labels
from spsam.data.preparation.store import PreparedCase
from spsam.engine.prompting.tiles import Tiles
from spsam.model.mask_heads.argmax import ArgmaxHead

_NOT_ASKED = -100.0


class AnsweredVolume:
    """The masks of one case, each pixel from the patch that owns it.

    Args:
        case: The case.
        num_classes: K, number of classes including the background.
        first_class: Index of the first prompted class; earlier classes have no logits.
    """

    def __init__(self, case: PreparedCase, num_classes: int, first_class: int) -> None:
        self._case = case
        self._first = first_class
        self._classes = num_classes
        # Half precision suffices, because only signs and the largest logit matter.
        self._logits = torch.zeros((num_classes, *case.label.shape), dtype=torch.float16)
        self._logits[first_class:] = _NOT_ASKED

    def add(self, tiles: Tiles, masks: Tensor, present: Tensor) -> None:
        """Adds some patches.

        Args:
            tiles: The patches, with their positions and owned pixels.
            masks: `(B, K', D, H, W)` logits of the prompted classes.
            present: `(B, D, K')`; a class without a prompt has no mask.
        """
        prompted = present.transpose(1, 2)[..., None, None]
        values = torch.where(prompted, masks.float(), _NOT_ASKED).cpu()
        size = torch.tensor(values.shape[2:])
        whole = torch.tensor(self._logits.shape[1:])
        for start, owned, logits in zip(tiles.starts, tiles.owned.cpu(), values, strict=True):
            first = torch.tensor(start)
            low, high = first.clamp(min=0), torch.minimum(first + size, whole)
            there = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
            here = tuple(slice(s.start - f, s.stop - f) for s, f in zip(there, start, strict=True))
            target = self._logits[(slice(self._first, None), *there)]
            target.copy_(torch.where(owned[here], logits[(slice(None), *here)].half(), target))

    def labels(self) -> np.ndarray:
        """Selects the class of the largest positive logit, or 0; `(D, H, W)`, original grid."""
        return restore_labels(self._logits, self._case, ArgmaxHead(self._classes).labels)

    def write(self, path: Path) -> None:
        """Writes the label map in the format of a run's predictions."""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_labels(path, self.labels(), self._case)
