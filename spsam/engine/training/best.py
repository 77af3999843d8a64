"""Weights of the epoch with the best validation score: `train.checkpoint: best`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from spsam.engine.checkpoint import trained_state
from spsam.model.networks.base import Network
from spsam.results.run_folder import VALIDATION_DICE


@dataclass(frozen=True)
class BestWeights:
    """The weights with the best validation score so far.

    Attributes:
        epoch: Epoch after which they were scored, from 0, as in the training log.
        dice: Mean Dice of the validation cases, 0…1.
        blocks: The trained weights by name, copied to the CPU.
    """

    epoch: int
    dice: float
    blocks: dict[str, Tensor]

    def state(self) -> dict[str, Any]:
        """Returns the entries of a checkpoint."""
        return {"epoch": self.epoch, "dice": self.dice, "blocks": self.blocks}


def better(
    best: BestWeights | None, metrics: Mapping[str, float], network: Network
) -> BestWeights | None:
    """Updates the best weights after an epoch; in a tie, the later epoch wins.

    Args:
        best: Best weights before the epoch; None if no epoch has been scored.
        metrics: Metrics of the epoch; a missing score or NaN does not count.
        network: The network after the epoch.
    """
    dice = metrics.get(VALIDATION_DICE, math.nan)
    if math.isnan(dice) or (best is not None and dice < best.dice):
        return best
    blocks = {name: value.detach().cpu().clone() for name, value in trained_state(network).items()}
    return BestWeights(int(metrics["epoch"]), dice, blocks)
