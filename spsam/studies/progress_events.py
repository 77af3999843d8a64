"""How a study tells what it does."""

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
    """A run as people see it.

    Attributes:
        number: Counted from 1.
        total: Runs of the study.
        arm: The arm's name.
        seed: The run's seed.
        run_id: Its identity.
        fold: The run's fold, where the study has several.
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
    """A volume that is segmented, as people see it.

    Attributes:
        number: Counted from 1.
        total: Volumes that are segmented by this command.
        name: The volume's.
    """

    number: int
    total: int
    name: str

    def __str__(self) -> str:
        return f"[{self.number}/{self.total}] {self.name}"


def run_labels(runs: Sequence[RunSpec], folds: Collection[int]) -> list[RunLabel]:
    """The labels of runs by their arms' names.

    Args:
        runs: In their order.
        folds: All of the study: where it has several, a label names its run's.
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
    """A run's mean Dice in words; NaN where nothing was scored, as without test cases."""
    return "nothing is scored" if math.isnan(dice) else f"Dice {100 * dice:.2f}"


class ProgressListener:
    """Hears everything and says nothing; the command line's ones print."""

    def say(self, text: str) -> None:
        """Something that the user should know."""

    def warn(self, text: str) -> None:
        """Something that went wrong and does not stop the study."""

    def stage(self, name: str, done: int, total: int) -> None:
        """How far something is that is no run."""

    def tiles(self, volume: VolumeLabel, done: int, total: int) -> None:
        """Tiles of a volume that are segmented so far."""

    def preparing(self, done: int, total: int) -> None:
        """Volumes prepared so far."""
        self.stage("preparing data", done, total)

    def run_begins(self, run: RunLabel, *, epochs: int, resumed: bool) -> None:
        """A run is begun, or gone on with."""

    def turn(self, run: RunLabel) -> None:
        """What is told next is of this run, where several are at work."""

    def progress(self, stage: str, done: int, total: int) -> None:
        """Steps (`train`) or cases (`evaluate`) of the current run."""

    def epoch(self, metrics: dict[str, float]) -> None:
        """An epoch of the current run is over."""

    def run_ends(self, run: RunLabel, ending: Ending, detail: str) -> None:
        """A run is over, or was finished before (`skipped`)."""
