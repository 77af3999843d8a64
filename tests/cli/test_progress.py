from __future__ import annotations

import io

import pytest

from spsam.cli.progress import BarWatcher, LineWatcher, TimeLeft, span, watched
from spsam.studies.progress_events import RunLabel, VolumeLabel

RUN = RunLabel(2, 3, "S2", 0, "abc")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(5, "5 s"), (89, "89 s"), (600, "10 min"), (12000, "3 h 20 min"), (8.64e6, "100 days")],
)
def test_span(seconds: float, text: str) -> None:
    assert span(seconds) == text


def feed(watch: LineWatcher | BarWatcher) -> None:
    watch.preparing(0, 2)
    watch.preparing(2, 2)
    watch.run_begins(RUN, epochs=2, resumed=True)
    for epoch in range(2):
        watch.progress("train", epoch + 1, 2)
        watch.epoch({"epoch": epoch, "loss/total": 0.5})
    watch.progress("evaluate", 1, 1)
    watch.run_ends(RUN, "finished", "Dice 50.00")
    watch.run_ends(RunLabel(3, 3, "S3", 0, "abd"), "skipped", "Dice 60.00")
    watch.warn("the server is [away]")
    watch.close()


def test_an_epoch_of_minutes_shows_its_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    stream, now = io.StringIO(), [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    watch = LineWatcher(stream)
    watch.run_begins(RUN, epochs=2, resumed=False)
    for step in range(8):
        now[0] += 25
        watch.progress("train", step + 1, 8)
        if step == 3:
            watch.epoch({"epoch": 0, "loss/total": 0.5})
    now[0] += 60
    watch.progress("evaluate", 0.5, 3)
    now[0] += 60
    watch.progress("evaluate", 1234, 2000)
    assert [line.partition(": ")[2] for line in stream.getvalue().splitlines()] == [
        "begins",
        "epoch 1/2, step 3/8",
        "epoch 1/2, loss 0.500",
        "epoch 2/2, step 7/8",
        "evaluate 0.5/3",
        "evaluate 1234/2000",
    ]


def test_the_last_step_of_an_epoch_belongs_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    stream, now = io.StringIO(), [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    watch = LineWatcher(stream)
    watch.run_begins(RUN, epochs=2, resumed=False)
    now[0] += 190
    watch.progress("train", 1, 2)
    assert stream.getvalue().splitlines()[-1].endswith("epoch 1/2, step 1/2")


def test_lines() -> None:
    stream = io.StringIO()
    feed(LineWatcher(stream, every=0))
    lines = stream.getvalue().splitlines()
    assert "[2/3] S2 seed 0: resumes where it stopped" in lines
    assert "[2/3] S2 seed 0: epoch 2/2, loss 0.500" in lines
    assert any("finished in 0 s, Dice 50.00; about 0 s left" in line for line in lines)
    assert "[3/3] S3 seed 0: already finished, Dice 60.00" in lines
    assert lines[-1] == "warning: the server is [away]"


def test_lines_are_few() -> None:
    stream = io.StringIO()
    feed(LineWatcher(stream))
    assert len(stream.getvalue().splitlines()) == 5


def test_bars_keep_what_is_said() -> None:
    stream = io.StringIO()
    feed(BarWatcher(stream))
    said = stream.getvalue()
    assert "[2/3] S2 seed 0: finished" in said
    assert "warning: the server is [away]" in said


def test_time_left_is_of_the_share_that_is_done() -> None:
    clock = iter([100.0, 110.0, 130.0])
    left = TimeLeft(lambda: next(clock))
    assert left(0.2) is None
    # A tenth in ten seconds, then three tenths in thirty.
    assert left(0.3) == pytest.approx(70)
    assert left(0.5) == pytest.approx(50)


def test_tiles_are_told_with_the_time_left_for_all_volumes() -> None:
    volume = VolumeLabel(2, 3, "scan [a]")
    stream = io.StringIO()
    watch = LineWatcher(stream, every=0)
    for done in (1, 5, 10):
        watch.tiles(volume, done, 10)
    first, *_, last = stream.getvalue().splitlines()
    assert first == "[2/3] scan [a]: 1/10 tiles"
    assert last.startswith("[2/3] scan [a]: 10/10 tiles; about ")
    assert last.endswith(" left")
    few = io.StringIO()
    watch = LineWatcher(few)
    for done in range(1, 1000):
        watch.tiles(volume, done, 1000)
    assert few.getvalue() == ""
    bars = BarWatcher(io.StringIO())
    bars.tiles(volume, 5, 10)
    (task,) = bars._bars.tasks
    assert (task.completed, task.total) == (1.5, 3)
    assert task.description == "segmenting [2/3] scan [a]"
    bars.close()


def test_several_runs_at_once_are_told_apart() -> None:
    for watch in (LineWatcher(stream := io.StringIO(), every=0), BarWatcher(io.StringIO())):
        runs = [RunLabel(number, 4, f"S{number}", 0, f"run{number}") for number in range(1, 5)]
        watch.turn(runs[0])
        watch.run_ends(runs[0], "skipped", "Dice 50.00")
        for run in runs[1:3]:
            watch.turn(run)
            watch.run_begins(run, epochs=9, resumed=False)
        for run in runs[1:3]:
            watch.turn(run)
            watch.progress("evaluate", run.number, 8)
            watch.epoch({"epoch": run.number, "loss/total": 0.5})
        watch.run_ends(runs[2], "finished", "Dice 60.00")
        watch.turn(runs[1])
        watch.progress("evaluate", 7, 8)
        watch.run_ends(runs[1], "failed", "no memory")
        watch.run_ends(runs[3], "failed", "failed before")
        watch.close()
    told = stream.getvalue().splitlines()
    assert "[2/4] S2 seed 0: evaluate 2/8" in told
    assert "[3/4] S3 seed 0: evaluate 3/8" in told
    assert "[2/4] S2 seed 0: evaluate 7/8" in told
    assert any(
        line.startswith("[3/4] S3 seed 0: finished in 0 s, Dice 60.00; about") for line in told
    )
    assert told[-1] == "[4/4] S4 seed 0: failed, failed before"


def test_a_run_names_its_fold_where_there_are_several() -> None:
    assert str(RunLabel(1, 2, "S2", 0, "abc")) == "[1/2] S2 seed 0"
    assert str(RunLabel(1, 2, "S2", 0, "abc", 3)) == "[1/2] S2 seed 0 fold 3"


@pytest.mark.parametrize(("term", "bars"), [("dumb", False), ("unknown", False), ("xterm", True)])
def test_bars_are_for_terminals_that_can_move(
    term: str, bars: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stderr", Terminal())
    monkeypatch.setenv("TERM", term)
    assert watched(lambda watch: isinstance(watch, BarWatcher)) is bars
