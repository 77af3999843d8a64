"""The weights of the epoch that scored best on validation cases: `train.checkpoint: best`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from spsam.engine.checkpoint import trained_state
from spsam.engine.training.progress import Metrics
from spsam.model.networks.base import Network
from spsam.results.run_folder import VALIDATION_DICE


@dataclass(frozen=True)
class BestWeights:
    """The weights with the highest score on validation cases so far.

    Attributes:
        epoch: After which they were scored, from 0, as in the training log.
        dice: Mean Dice of the validation cases, 0…1.
        blocks: The trained weights by name, copies on the CPU.
    """

    epoch: int
    dice: float
    blocks: dict[str, Tensor]

    def state(self) -> dict[str, Any]:
        """What a checkpoint stores."""
        return {"epoch": self.epoch, "dice": self.dice, "blocks": self.blocks}


def better(best: BestWeights | None, metrics: Metrics, network: Network) -> BestWeights | None:
    """The best after one more epoch; of equal scores the later.

    Args:
        best: Before it; None if nothing is scored yet.
        metrics: Of the epoch, which may have no score; NaN is none.
        network: As it is after the epoch.
    """
    dice = metrics.get(VALIDATION_DICE, math.nan)
    if math.isnan(dice) or (best is not None and dice < best.dice):
        return best
    blocks = {name: value.detach().cpu().clone() for name, value in trained_state(network).items()}
    return BestWeights(int(metrics["epoch"]), dice, blocks)
