"""Progress in Python: one bar at a time, lines beside it, nothing on the output stream."""

from __future__ import annotations

import pytest

from spsam.api.progress import TqdmListener, shown
from spsam.studies.progress_events import ProgressListener, RunLabel

RUN = RunLabel(1, 2, "S9", 0, "0123")


def test_a_bar_follows_stages_and_runs(capsys: pytest.CaptureFixture[str]) -> None:
    watch = TqdmListener()
    watch.stage("preparing data", 1, 2)
    watch.stage("preparing data", 2, 2)
    watch.run_begins(RUN, epochs=3, resumed=False)
    watch.progress("train", 5, 10)
    bar = watch._bar
    assert (bar.n, bar.total, bar.desc) == (5, 10, "[1/2] S9 seed 0 train")
    watch.progress("train", 7, 10)
    assert watch._bar is bar
    watch.warn("look out")
    watch.progress("evaluate", 1.3, 4)
    assert (str(watch._bar.n), watch._bar.desc) == ("1", "[1/2] S9 seed 0 evaluate")
    watch.run_ends(RUN, "finished", "Dice 50.00")
    assert watch._bar is None
    watch.run_ends(RUN, "skipped", "Dice 50.00")
    told = capsys.readouterr()
    assert told.out == ""
    lines = [line.split("\r")[-1].strip() for line in told.err.splitlines()]
    assert "warning: look out" in lines
    assert "[1/2] S9 seed 0: finished, Dice 50.00" in lines
    assert "[1/2] S9 seed 0: already finished, Dice 50.00" in lines


def test_a_bar_goes_with_its_call(capsys: pytest.CaptureFixture[str]) -> None:
    heard: list[ProgressListener] = []

    def interrupted() -> None:
        with shown(True) as watch:
            heard.append(watch)
            watch.stage("preparing data", 1, 2)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert heard[0]._bar is None  # type: ignore[attr-defined]
    capsys.readouterr()
    with shown(False) as silent:
        silent.stage("preparing data", 1, 2)
        silent.warn("look out")
    assert type(silent) is ProgressListener
    assert capsys.readouterr().err == ""
