"""Progress events of a study, and the listener that receives them."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from spsam.engine.run_spec import RunSpec

Ending = Literal["finished", "failed", "skipped"]


@dataclass(frozen=True)
class RunLabel:
    """The description of a run in messages.

    Attributes:
        number: Position of the run in the study, counted from 1.
        total: Number of runs of the study.
        arm: The arm's name.
        seed: The run's seed.
        run_id: The run's id.
        fold: The run's fold; None if the study has only one.
    """

    number: int
    total: int
    arm: str
    seed: int
    run_id: str
    fold: int | None = None

    def __str__(self) -> str:
        fold = "" if self.fold is None else f" fold {self.fold}"
        return f"[{self.number}/{self.total}] {self.arm} seed {self.seed}{fold}"


@dataclass(frozen=True)
class VolumeLabel:
    """The description of a volume in messages.

    Attributes:
        number: Position of the volume in the prediction, counted from 1.
        total: Number of volumes that the command segments.
        name: The volume's name.
    """

    number: int
    total: int
    name: str

    def __str__(self) -> str:
        return f"[{self.number}/{self.total}] {self.name}"


def run_labels(runs: Sequence[RunSpec], folds: Collection[int]) -> list[RunLabel]:
    """Returns the labels of runs.

    Args:
        runs: The runs of a study, in their order.
        folds: All folds of the study; labels contain the fold if there are several.
    """
    return [
        RunLabel(
            number,
            len(runs),
            run.config.arm.name,
            run.config.seed,
            run.run_id,
            run.config.data.fold if len(folds) > 1 else None,
        )
        for number, run in enumerate(runs, start=1)
    ]


def told_dice(dice: float) -> str:
    """Returns a run's mean Dice as text; NaN means that nothing was scored."""
    return "nothing is scored" if math.isnan(dice) else f"Dice {100 * dice:.2f}"


class ProgressListener:
    """Base class of listeners; ignores all events. The command line prints them."""

    def say(self, text: str) -> None:
        """Receives a message for the user."""

    def warn(self, text: str) -> None:
        """Receives a warning: something went wrong that does not stop the study."""

    def stage(self, name: str, done: int, total: int) -> None:
        """Receives the progress of work outside of runs."""

    def tiles(self, volume: VolumeLabel, done: int, total: int) -> None:
        """Receives the number of finished tiles of a volume."""

    def preparing(self, done: int, total: int) -> None:
        """Receives the number of volumes prepared so far."""
        self.stage("preparing data", done, total)

    def run_begins(self, run: RunLabel, *, epochs: int, resumed: bool) -> None:
        """A run begins or resumes."""

    def turn(self, run: RunLabel) -> None:
        """The following events belong to this run; called if several runs execute at once."""

    def progress(self, stage: str, done: float, total: int) -> None:
        """Receives the steps (`train`) or cases (`evaluate`) of the current run so far.

        A case of which a quarter of the tiles is segmented counts as 0.25.
        """

    def epoch(self, metrics: dict[str, float]) -> None:
        """An epoch of the current run has ended."""

    def run_ends(self, run: RunLabel, ending: Ending, detail: str) -> None:
        """A run has ended, or was already finished (`skipped`)."""
