from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from spsam.errors import SpsamError
from spsam.results.rows import Row, write_rows
from spsam.results.run_folder import RunBusyError, RunFolder

ROW = Row("abc", 0, 0, "case", "patient", 1, "a", "dice", "nnunet", 0.5)

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


def test_a_finished_runs_files_are_verified(folder: RunFolder) -> None:
    write_rows(folder.rows, [ROW])
    folder.metrics.write_text('{"epoch": 0}\n')
    folder.note(status="finished", files=folder.checksums())
    assert folder.read_rows() == [ROW]
    folder.rows.write_text(folder.rows.read_text().replace("0.5", "0.6"))
    with pytest.raises(SpsamError, match=r"rows\.jsonl: is damaged; remove the folder"):
        folder.read_rows()
    folder.metrics.unlink()
    with pytest.raises(SpsamError, match=r"metrics\.jsonl: is missing"):
        folder.verify(folder.metrics)


def test_files_of_earlier_versions_are_read_as_they_are(folder: RunFolder) -> None:
    write_rows(folder.rows, [ROW])
    folder.record.write_text('{"status": "finished", "seconds": 1}')
    assert folder.status == "finished"
    assert folder.read_rows() == [ROW]


@pytest.mark.parametrize("text", ["nothing\n", "[]\n", "1\n", '{"loss": 1}\n', "\udca2\n"])
def test_a_damaged_metrics_line_is_said(folder: RunFolder, text: str) -> None:
    folder.note(status="running")
    folder.metrics.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(SpsamError, match=r"metrics\.jsonl: is damaged"):
        folder.read_metrics()
