"""Progress bars in notebooks and terminals; notes are printed above the bar."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from spsam.studies.progress_events import Ending, ProgressListener, RunLabel, VolumeLabel


class TqdmListener(ProgressListener):
    """One bar for the current stage or run."""

    def __init__(self) -> None:
        from tqdm.auto import tqdm

        self._tqdm: Any = tqdm
        self._bar: Any = None
        self._name = ""
        self._run: RunLabel | None = None

    def say(self, text: str) -> None:
        """Prints a line above the bar, on stderr."""
        self._tqdm.write(text, file=sys.stderr)

    def warn(self, text: str) -> None:
        """Prints a warning."""
        self.say(f"warning: {text}")

    def stage(self, name: str, done: int, total: int) -> None:
        """Updates the bar of a stage."""
        self._show(name, done, total)

    def tiles(self, volume: VolumeLabel, done: int, total: int) -> None:
        """Updates the bar of a volume."""
        self._show(f"segmenting {volume}", done, total)

    def run_begins(self, run: RunLabel, *, epochs: int, resumed: bool) -> None:
        """Starts the bar of a run."""
        self._run = run
        self._show(f"{run}", 0, 1)

    def turn(self, run: RunLabel) -> None:
        """Selects the run that later events refer to."""
        self._run = run

    def progress(self, stage: str, done: float, total: int) -> None:
        """Updates the run's bar, one for training and one for evaluation."""
        # tqdm prints all digits of a fraction, so its bar counts finished cases alone.
        self._show(f"{self._run or ''} {stage}".strip(), int(done), total)

    def run_ends(self, run: RunLabel, ending: Ending, detail: str) -> None:
        """Prints the result of a run."""
        self.close()
        said = "already finished" if ending == "skipped" else ending
        self.say(f"{run}: {said}, {detail}")

    def close(self) -> None:
        """Removes the bar."""
        if self._bar is not None:
            self._bar.close()
        self._bar, self._name = None, ""

    def _show(self, name: str, done: int, total: int) -> None:
        if self._bar is None or name != self._name:
            self.close()
            self._bar, self._name = self._tqdm(total=total, desc=name, leave=False), name
        self._bar.total = total
        self._bar.update(done - self._bar.n)
        if done >= total:
            self.close()


@contextmanager
def shown(wanted: bool) -> Iterator[ProgressListener]:
    """Provides the listener that displays the progress of a call.

    Args:
        wanted: Whether progress is displayed.
    """
    if not wanted:
        yield ProgressListener()
        return
    watch = TqdmListener()
    try:
        yield watch
    finally:
        watch.close()
