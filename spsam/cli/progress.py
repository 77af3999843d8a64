"""Progress of a study on stderr: bars on a terminal, lines otherwise."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO, TypeVar

import typer

from spsam.cli.streams import shown
from spsam.studies.progress_events import Ending, ProgressListener, RunLabel, VolumeLabel

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

Result = TypeVar("Result")

# Share of a run that is training; the rest is its evaluation.
_TRAINING = 0.9
_SECONDS_BETWEEN_LINES = 30.0
_LONG_EPOCH = 60.0
"""Seconds after which the steps of an epoch are printed."""


def watched(work: Callable[[ProgressListener], Result]) -> Result:
    """Calls `work` and displays its progress; Ctrl-C exits with code 130.

    Args:
        work: The function; receives the listener to report progress to.
    """
    # A terminal that cannot move its cursor would not show the bars.
    moves = sys.stderr.isatty() and os.environ.get("TERM", "").lower() not in ("dumb", "unknown")
    watch = BarWatcher(sys.stderr) if moves else LineWatcher(sys.stderr)
    try:
        return work(watch)
    except KeyboardInterrupt as stop:
        watch.close()
        typer.echo("interrupted: rerun the same command to resume", err=True)
        raise typer.Exit(getattr(stop, "exit_code", 130)) from None
    finally:
        watch.close()


_DAYS = 4
"""Durations of at least this many days are printed in days."""


def span(seconds: float) -> str:
    """A duration in words: `45 s`, `12 min`, `3 h 20 min`, `9 days`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes >= _DAYS * 24 * 60:
        return f"{minutes / (24 * 60):,.0f} days"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


class TimeLeft:
    """Estimates the remaining time of some work from the finished share.

    Args:
        now: Clock that returns seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._first: tuple[float, float] | None = None

    def __call__(self, share: float) -> float | None:
        """Returns the seconds until the share is 1; None before an estimate is possible."""
        if self._first is None:
            # The first share is excluded: its time includes other work, such as reading a volume.
            self._first = self._now(), share
        began, before = self._first
        if share <= before:
            return None
        return (self._now() - began) * (1 - share) / (share - before)


def _epoch(epochs: int, done: float, total: int) -> str:
    # `done` counts finished steps: the last step of an epoch still belongs to it.
    epoch = min(int(max(done - 1, 0) * epochs // max(total, 1)) + 1, epochs)
    return f"epoch {epoch}/{epochs}"


def _cases(stage: str, done: float, total: int) -> str:
    return f"{stage} {done:.1f}".removesuffix(".0") + f"/{total}"


@dataclass
class _Run:
    """A run in progress."""

    label: RunLabel
    epochs: int
    began: float
    epoch_began: float


class LineWatcher(ProgressListener):
    """Prints a line for every event, and at most two lines per minute for progress within runs.

    Args:
        stream: The stream to print to.
        every: Minimum number of seconds between two lines of progress.
    """

    def __init__(self, stream: TextIO, every: float = _SECONDS_BETWEEN_LINES) -> None:
        self._stream = stream
        self._every = every
        self._last = time.monotonic()
        self._at: dict[str, _Run] = {}
        self._now: _Run | None = None
        self._seconds: list[float] = []
        self._turns = False
        self._first = 1
        self._ended = 0
        self._time_left = TimeLeft()

    def say(self, text: str) -> None:
        """Prints a line."""
        print(text, file=self._stream, flush=True)

    def warn(self, text: str) -> None:
        """Prints a warning."""
        self.say(f"warning: {text}")

    def stage(self, name: str, done: int, total: int) -> None:
        """Prints the progress of a stage periodically, and at its end."""
        if done == total or self._is_time():
            self.say(f"{name}: {done}/{total}")

    def tiles(self, volume: VolumeLabel, done: int, total: int) -> None:
        """Prints the finished tiles periodically, with the remaining time of all volumes."""
        left = self._time_left(share_of(volume, done, total))
        if self._is_time():
            more = "" if left is None else f"; about {span(left)} left"
            self.say(f"{volume}: {done}/{total} tiles{more}")

    def turn(self, run: RunLabel) -> None:
        """Sets the run that the following events belong to; without it, runs are consecutive."""
        self._turns = True
        self._now = self._at.get(run.run_id)

    def run_begins(self, run: RunLabel, *, epochs: int, resumed: bool) -> None:
        """Prints that a run begins or resumes."""
        if not self._turns:
            # A sweep continues the numbers of earlier trials and does not report when one ends.
            self._first = self._first if self._at else run.number
            self._ended = run.number - self._first
            self._at.clear()
        now = time.monotonic()
        self._now = self._at[run.run_id] = _Run(run, epochs, now, now)
        self._last = self._now.began
        self.say(f"{run}: {'resumes where it stopped' if resumed else 'begins'}")

    def progress(self, stage: str, done: float, total: int) -> None:
        """Prints the progress of a long epoch or of a run's evaluation periodically."""
        if self._now is None:
            return
        if stage != "train":
            text = _cases(stage, done, total)
        elif time.monotonic() - self._now.epoch_began > _LONG_EPOCH:
            text = f"{_epoch(self._now.epochs, done, total)}, step {done}/{total}"
        else:
            return
        if self._is_time():
            self.say(f"{self._now.label}: {text}")

    def epoch(self, metrics: dict[str, float]) -> None:
        """Prints the last epoch and its loss periodically."""
        if self._now is None:
            return
        began, self._now.epoch_began = self._now.epoch_began, time.monotonic()
        if self._now.epoch_began - began > _LONG_EPOCH or self._is_time():
            epoch = int(metrics.get("epoch", 0)) + 1
            loss = metrics.get("loss/total")
            said = "" if loss is None else f", loss {loss:.3f}"
            self.say(f"{self._now.label}: epoch {epoch}/{self._now.epochs}{said}")

    def run_ends(self, run: RunLabel, ending: Ending, detail: str) -> None:
        """Prints the result and duration of a run, and an estimate of the remaining time."""
        self._ended += 1
        at_once = len(self._at)
        begun = self._at.pop(run.run_id, None)
        if ending == "skipped":
            self.say(f"{run}: already finished, {detail}")
            return
        took = ""
        if begun is not None:
            seconds = time.monotonic() - begun.began
            self._seconds.append(seconds)
            took = f" in {span(seconds)}"
        left = run.total - self._first + 1 - self._ended
        more = ""
        if left > 0 and self._seconds:
            mean = sum(self._seconds) / len(self._seconds)
            more = f"; about {span(left * mean / max(at_once, 1))} left"
        self.say(f"{run}: {ending}{took}, {detail}{more}")

    def close(self) -> None:
        """Releases nothing: lines need no clean-up."""

    def _is_time(self) -> bool:
        now = time.monotonic()
        if now - self._last < self._every:
            return False
        self._last = now
        return True


def share_of(volume: VolumeLabel, done: int, total: int) -> float:
    """Returns the finished share of all volumes, from the finished tiles of the current one."""
    return (volume.number - 1 + done / max(total, 1)) / volume.total


class BarWatcher(LineWatcher):
    """Shows a bar for all runs with the remaining time, and one per active run, below the lines.

    Args:
        stream: A terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._bars: Progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[detail]}", markup=False),
            TimeRemainingColumn(),
            console=Console(file=stream),
            transient=True,
            # Speed is averaged over whole runs, whose phases differ.
            speed_estimate_period=3600,
        )
        self._all: TaskID | None = None
        self._stage: TaskID = self._bars.add_task("", total=None, visible=False, detail="")
        self._tasks: dict[str, TaskID] = {}
        self._shares: dict[str, float] = {}
        self._bars.start()

    def say(self, text: str) -> None:
        """Prints a line above the bars."""
        self._bars.console.print(shown(text), markup=False, highlight=False)

    def stage(self, name: str, done: int, total: int) -> None:
        """Shows a bar until the stage is complete."""
        detail = f"{done}/{total}"
        self._bars.update(
            self._stage,
            description=shown(name),
            completed=done,
            total=total,
            detail=detail,
            visible=done < total,
        )

    def tiles(self, volume: VolumeLabel, done: int, total: int) -> None:
        """Updates the bar of the volumes, which advances with every batch of tiles."""
        self._bars.update(
            self._stage,
            description=shown(f"segmenting {volume}"),
            completed=volume.total * share_of(volume, done, total),
            total=volume.total,
            detail=f"{done}/{total} tiles",
            visible=True,
        )

    def run_begins(self, run: RunLabel, *, epochs: int, resumed: bool) -> None:
        """Adds a bar for the run."""
        super().run_begins(run, epochs=epochs, resumed=resumed)
        for gone in [run_id for run_id in self._tasks if run_id not in self._at]:
            self._bars.remove_task(self._tasks.pop(gone))
            self._shares.pop(gone, None)
        if self._all is None:
            # Speed is measured from here: runs finished earlier took no time.
            left = run.total - self._first + 1 - self._ended
            self._all = self._bars.add_task("all runs", total=left, detail="")
            self._before = self._ended
        if run.run_id not in self._tasks:
            task = self._bars.add_task(shown(str(run)), total=None, detail="")
            self._tasks[run.run_id] = task
        self._show_all(run)

    def progress(self, stage: str, done: float, total: int) -> None:
        """Updates the run's bar; `train` counts for nine tenths of a run."""
        if self._now is None:
            return
        share = done / max(total, 1)
        if stage == "train":
            detail, share = _epoch(self._now.epochs, done, total), share * _TRAINING
        else:
            detail, share = _cases(stage, done, total), _TRAINING + share * (1 - _TRAINING)
        self._show(self._now.label, done, total, detail, share)

    def epoch(self, metrics: dict[str, float]) -> None:
        """Updates the run's bar if the run does not report single steps."""
        if self._now is not None and not self._shares.get(self._now.label.run_id, 0) % 1:
            done, total = int(metrics.get("epoch", 0)) + 1, self._now.epochs
            self._show(self._now.label, done, total, f"epoch {done}/{total}", 0)

    def run_ends(self, run: RunLabel, ending: Ending, detail: str) -> None:
        """Prints the result and removes the run's bar."""
        super().run_ends(run, ending, detail)
        self._shares.pop(run.run_id, None)
        task = self._tasks.pop(run.run_id, None)
        if task is not None:
            self._bars.remove_task(task)
        self._show_all(run)

    def close(self) -> None:
        """Removes all bars."""
        self._bars.stop()

    def _show(self, run: RunLabel, done: float, total: int, detail: str, share: float) -> None:
        self._shares[run.run_id] = share
        task = self._tasks[run.run_id]
        self._bars.update(task, completed=done, total=total, detail=shown(detail))
        self._show_all(run)

    def _show_all(self, run: RunLabel) -> None:
        if self._all is not None:
            done = self._ended - self._before + sum(self._shares.values())
            detail = f"{self._ended + self._first - 1}/{run.total}"
            self._bars.update(self._all, completed=done, detail=detail)
