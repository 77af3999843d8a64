from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from spsam.errors import SpsamError
from spsam.results.run_folder import RunBusyError, RunFolder

HOLD = """
import sys
from pathlib import Path
from spsam.results.run_folder import RunFolder
with RunFolder(Path(sys.argv[1]), "abc").lock():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path, "abc")


def test_looking_makes_nothing(folder: RunFolder, tmp_path: Path) -> None:
    assert folder.status == "planned"
    assert folder.read_metrics() == []
    assert list(tmp_path.iterdir()) == []


def test_everything_lies_in_the_folder(folder: RunFolder, tmp_path: Path) -> None:
    names = ("config", "record", "metrics", "rows", "checkpoint", "preview", "predictions", "error")
    paths = [getattr(folder, name) for name in names]
    assert {path.parent for path in paths} == {tmp_path / "runs" / "abc"}
    assert len(set(paths)) == len(names)


def test_note_keeps_other_values(folder: RunFolder) -> None:
    folder.note(status="running", seconds=1.5)
    folder.note(status="finished")
    assert folder.read() == {"status": "finished", "seconds": 1.5}
    assert folder.status == "finished"
    assert [path.name for path in folder.path.iterdir()] == ["run.json"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"status": "done"}', '{"seconds": 1}'])
def test_damaged_record_is_said(folder: RunFolder, text: str) -> None:
    folder.note(status="running")
    folder.record.write_text(text)
    with pytest.raises(SpsamError, match="damaged"):
        _ = folder.status


def test_unfinished_metrics_line_is_left_out(folder: RunFolder) -> None:
    folder.note(status="running")
    folder.metrics.write_text(json.dumps({"epoch": 0}) + '\n{"epo')
    assert folder.read_metrics() == [{"epoch": 0}]


def test_a_twin_is_kept_out_and_let_in_again(folder: RunFolder, tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as twin:
        assert twin.stdout is not None
        assert twin.stdout.readline().strip() == b"held"
        with pytest.raises(RunBusyError, match="abc"), folder.lock():
            pass
        # Another run is free all the while.
        with RunFolder(tmp_path, "other").lock():
            pass
        twin.kill()  # a process that dies leaves no lock behind
    with folder.lock(wait=True):
        pass
