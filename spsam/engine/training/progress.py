"""Where a training stands: what a checkpoint has beside weights and optimiser."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from spsam.errors import SpsamError
from spsam.text.json_text import parse_json

if TYPE_CHECKING:
    from spsam.engine.training.best import BestWeights

Metrics = dict[str, float]

# Losses are read in groups: a GPU is then waited for now and then, instead of at every step.
_READ_EVERY = 16


@dataclass
class Progress:
    """Steps done, and the metrics of all epochs so far.

    Attributes:
        steps: Done in all.
        sums: Of the current epoch's losses, by name.
        seconds: That the current epoch has taken.
        waited: Of these, seconds in which no patch was there.
        history: The metrics of every whole epoch.
        best: The weights that validation cases choose so far; checkpoints hold them beside the
            state.
    """

    steps: int = 0
    sums: Metrics = field(default_factory=dict)
    seconds: float = 0.0
    waited: float = 0.0
    history: list[Metrics] = field(default_factory=list)
    best: BestWeights | None = None

    def __post_init__(self) -> None:
        self._unread: list[dict[str, Tensor]] = []
        self._since = time.perf_counter()

    def add(self, terms: dict[str, Tensor]) -> None:
        """Counts a step.

        Raises:
            SpsamError: If a loss is no longer a finite number.
        """
        self.steps += 1
        self._unread.append(terms)
        if len(self._unread) == _READ_EVERY:
            self.read()

    def read(self) -> None:
        """Waits for the losses of all steps.

        Raises:
            SpsamError: If a loss is no longer a finite number.
        """
        now = time.perf_counter()
        self.seconds, self._since = self.seconds + now - self._since, now
        unread, self._unread = self._unread, []
        for terms in unread:
            values = dict(zip(terms, torch.stack(list(terms.values())).tolist(), strict=True))
            wrong = [name for name in ("total", "gradient") if not np.isfinite(values[name])]
            if wrong:
                what = "loss" if "total" in wrong else "gradient"
                raise SpsamError(
                    f"the {what} became {values[wrong[0]]}: lower train.optimizer.lr or "
                    "train.clip_norm, or use --set train.precision=fp32; the last checkpoint is "
                    "of a step before"
                )
            for name, value in values.items():
                self.sums[name] = self.sums.get(name, 0.0) + value

    def leave_out(self) -> None:
        """What was done since the last reading is no part of any step."""
        self._since = time.perf_counter()

    def end_epoch(self, iterations: int, lr: float) -> Metrics:
        """Means over the epoch, which goes into the history."""
        self.read()
        norm = self.sums.pop("gradient") / iterations
        metrics = {f"loss/{name}": value / iterations for name, value in self.sums.items()}
        metrics |= {"epoch": len(self.history), "lr": lr, "seconds": self.seconds}
        metrics["gradient_norm"] = norm
        metrics["data_seconds"] = self.waited
        # Losses are read in groups, so that the mean is what a GPU's step takes, and no single one.
        metrics["step_seconds"] = (self.seconds - self.waited) / iterations
        self.history.append(metrics)
        self.sums, self.seconds, self.waited = {}, 0.0, 0.0
        return metrics

    def state(self) -> dict[str, Any]:
        """As plain values; the losses are read before."""
        self.read()
        return {
            "steps": self.steps,
            "sums": dict(self.sums),
            "seconds": self.seconds,
            "waited": self.waited,
            "history": [dict(metrics) for metrics in self.history],
        }

    @classmethod
    def restored(cls, state: dict[str, Any], iterations: int, log: Path) -> Progress:
        """What `state` gave; of a checkpoint of the first version, from its epochs and the log."""
        if "progress" in state:
            return cls(**state["progress"])
        epochs = int(state["epochs"])
        lines = log.read_text(encoding="utf-8").splitlines()[:epochs] if log.exists() else []
        return cls(steps=epochs * iterations, history=[parse_json(line) for line in lines])


def random_state() -> dict[str, Any]:
    """The state of every global random generator, in what a checkpoint may hold."""
    version, words, gauss = random.getstate()
    name, keys, *rest = np.random.get_state(legacy=True)
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "python": [version, list(words), gauss],
        "numpy": [name, np.asarray(keys).tolist(), *rest],
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Puts the generators back."""
    torch.set_rng_state(state["torch"])
    if len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, np.array(keys, np.uint32), *rest))
