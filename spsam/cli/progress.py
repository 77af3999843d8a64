"""How a study's progress looks: bars on a terminal, lines elsewhere. Always on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO, TypeVar

import typer

from spsam.studies.watch import Ending, RunLabel, Watcher

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

Result = TypeVar("Result")

# Share of a run that is training; what remains is its evaluation.
_TRAINING = 0.9
_SECONDS_BETWEEN_LINES = 30.0


def watched(work: Callable[[Watcher], Result]) -> Result:
    """Does some work and shows how far it is; Ctrl-C ends the command with 130.

    Args:
        work: Given who is to be told.
    """
    watch = BarWatcher(sys.stderr) if sys.stderr.isatty() else LineWatcher(sys.stderr)
    try:
        return work(watch)
    except KeyboardInterrupt as stop:
        watch.close()
        typer.echo("interrupted: the same command goes on where it stopped", err=True)
        raise typer.Exit(getattr(stop, "exit_code", 130)) from None
    finally:
        watch.close()


def span(seconds: float) -> str:
    """A span of time: `45 s`, `12 min`, `3 h 20 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


class LineWatcher(Watcher):
    """A line for what matters, at most two a minute for progress within a run.

    Args:
        stream: Where lines go.
        every: Seconds between two lines of progress.
    """

    def __init__(self, stream: TextIO, every: float = _SECONDS_BETWEEN_LINES) -> None:
        self._stream = stream
        self._every = every
        self._last = time.monotonic()
        self._run: RunLabel | None = None
        self._epochs = 0
        self._began = time.monotonic()
        self._seconds: list[float] = []

    def say(self, text: str) -> None:
        """A line."""
        print(text, file=self._stream, flush=True)

    def warn(self, text: str) -> None:
        """A line that says so."""
        self.say(f"warning: {text}")

    def stage(self, name: str, done: int, total: int) -> None:
        """Now and then, and at the end."""
        if done == total or self._is_time():
            self.say(f"{name}: {done}/{total}")

    def run_begins(self, run: RunLabel, *, epochs: int, resumed: bool) -> None:
        """A line."""
        self._run, self._epochs, self._began = run, epochs, time.monotonic()
        self._last = self._began
        self.say(f"{run}: {'goes on where it stopped' if resumed else 'begins'}")

    def progress(self, stage: str, done: int, total: int) -> None:
        """Now and then."""
        if stage != "train" and self._run is not None and self._is_time():
            self.say(f"{self._run}: {stage} {done}/{total}")

    def epoch(self, metrics: dict[str, float]) -> None:
        """Now and then."""
        if self._run is not None and self._is_time():
            epoch = int(metrics.get("epoch", 0)) + 1
            loss = metrics.get("loss/total")
            said = "" if loss is None else f", loss {loss:.3f}"
            self.say(f"{self._run}: epoch {epoch}/{self._epochs}{said}")

    def run_ends(self, run: RunLabel, ending: Ending, detail: str) -> None:
        """A line; with the time left once a run has shown what one takes."""
        if ending == "skipped":
            self.say(f"{run}: finished before, {detail}")
            return
        seconds = time.monotonic() - self._began
        self._seconds.append(seconds)
        left = (run.total - run.number) * sum(self._seconds) / len(self._seconds)
        more = f"; about {span(left)} left" if run.number < run.total else ""
        self.say(f"{run}: {ending} in {span(seconds)}, {detail}{more}")

    def close(self) -> None:
        """Nothing is open."""

    def _is_time(self) -> bool:
        now = time.monotonic()
        if now - self._last < self._every:
            return False
        self._last = now
        return True


class BarWatcher(LineWatcher):
    """Two bars, all runs with the time left and the current one, below the lines.

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
            # Speed is measured over whole runs: their phases differ.
            speed_estimate_period=3600,
        )
        self._all: TaskID | None = None
        self._now: TaskID = self._bars.add_task("", total=None, visible=False, detail="")
        self._bars.start()

    def say(self, text: str) -> None:
        """A line above the bars."""
        self._bars.console.print(text, markup=False, highlight=False)

    def stage(self, name: str, done: int, total: int) -> None:
        """The lower bar."""
        self._show(name, done, total, f"{done}/{total}")

    def run_begins(self, run: RunLabel, *, epochs: int, resumed: bool) -> None:
        """Both bars."""
        super().run_begins(run, epochs=epochs, resumed=resumed)
        if self._all is None:
            left = run.total - run.number + 1
            self._all = self._bars.add_task("all runs", total=left, detail="")
            self._first = run.number
        self._bars.update(self._all, detail=f"{run.number - 1}/{run.total}")

    def progress(self, stage: str, done: int, total: int) -> None:
        """Both bars; `train` counts for nine tenths of a run."""
        assert self._run is not None
        share = done / max(total, 1)
        if stage == "train":
            epoch = min(done * self._epochs // max(total, 1) + 1, self._epochs)
            detail, share = f"epoch {epoch}/{self._epochs}", share * _TRAINING
        else:
            detail, share = f"{stage} {done}/{total}", _TRAINING + share * (1 - _TRAINING)
        self._show(str(self._run), done, total, detail)
        if self._all is not None:
            self._bars.update(self._all, completed=self._run.number - self._first + share)

    def epoch(self, metrics: dict[str, float]) -> None:
        """The bar has it."""

    def run_ends(self, run: RunLabel, ending: Ending, detail: str) -> None:
        """A line, and both bars."""
        super().run_ends(run, ending, detail)
        self._bars.update(self._now, visible=False)
        if self._all is not None:
            done = run.number - self._first + 1
            self._bars.update(self._all, completed=done, detail=f"{run.number}/{run.total}")

    def close(self) -> None:
        """Takes the bars away."""
        self._bars.stop()

    def _show(self, text: str, done: int, total: int, detail: str) -> None:
        self._bars.update(
            self._now, description=text, completed=done, total=total, detail=detail, visible=True
        )
