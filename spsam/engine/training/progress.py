"""Progress of a training: the state in a checkpoint besides weights and optimiser."""

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

# Losses are read in groups, so that the host does not wait for a GPU at every step.
_READ_EVERY = 16


@dataclass
class Progress:
    """Number of finished steps, and the metrics of all epochs so far.

    Attributes:
        steps: Number of finished steps.
        sums: Sums of the current epoch's losses, by name.
        seconds: Duration of the current epoch so far.
        waited: Seconds of these in which the training waited for patches.
        history: Metrics of every finished epoch.
        best: Weights with the best validation score so far; checkpoints store them separately from
            this state.
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
        """Adds the losses of a step.

        Raises:
            SpsamError: If a loss or gradient is not finite.
        """
        self.steps += 1
        self._unread.append(terms)
        if len(self._unread) == _READ_EVERY:
            self.read()

    def read(self) -> None:
        """Reads the losses of all steps from the device.

        Raises:
            SpsamError: If a loss or gradient is not finite.
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
                    "from an earlier step"
                )
            for name, value in values.items():
                self.sums[name] = self.sums.get(name, 0.0) + value

    def leave_out(self) -> None:
        """Excludes the time since the last reading from the duration of steps."""
        self._since = time.perf_counter()

    def end_epoch(self, iterations: int, lr: float) -> Metrics:
        """Computes the means over the epoch and adds them to the history.

        Args:
            iterations: Number of steps in an epoch.
            lr: Learning rate of the epoch.
        """
        self.read()
        norm = self.sums.pop("gradient") / iterations
        metrics = {f"loss/{name}": value / iterations for name, value in self.sums.items()}
        metrics |= {"epoch": len(self.history), "lr": lr, "seconds": self.seconds}
        metrics["gradient_norm"] = norm
        metrics["data_seconds"] = self.waited
        # Losses are read in groups, so that only the mean reflects the duration of a GPU's step.
        metrics["step_seconds"] = (self.seconds - self.waited) / iterations
        self.history.append(metrics)
        self.sums, self.seconds, self.waited = {}, 0.0, 0.0
        return metrics

    def state(self) -> dict[str, Any]:
        """Reads all losses and returns plain values."""
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
        """Restores the progress of a checkpoint.

        Args:
            state: State of the checkpoint.
            iterations: Number of steps in an epoch, for checkpoints of the first version.
            log: The training log, for checkpoints of the first version.
        """
        if "progress" in state:
            return cls(**state["progress"])
        epochs = int(state["epochs"])
        lines = log.read_text(encoding="utf-8").splitlines()[:epochs] if log.exists() else []
        return cls(steps=epochs * iterations, history=[parse_json(line) for line in lines])


def random_state() -> dict[str, Any]:
    """Returns the states of all global random generators as values for a checkpoint."""
    version, words, gauss = random.getstate()
    name, keys, *rest = np.random.get_state(legacy=True)
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "python": [version, list(words), gauss],
        "numpy": [name, np.asarray(keys).tolist(), *rest],
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Restores the states of all global random generators."""
    torch.set_rng_state(state["torch"])
    if len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, np.array(keys, np.uint32), *rest))
