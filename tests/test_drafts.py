"""Files that are there completely or not at all."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from spsam import drafts
from spsam.drafts import clear_drafts, draft, draft_folder, lock_file, one_at_a_time

# Writes halves and says so; then waits to be killed.
KILLED = """
import sys, time
from pathlib import Path
from spsam.drafts import draft, draft_folder
path = Path(sys.argv[1])
one, other = draft(path), draft(path)
if sys.argv[2] == "folder":
    one, other = draft_folder(path), draft_folder(path)
for each in (one, other):
    made = each.__enter__()
    (made / "a" if made.is_dir() else made).write_text("half")
print("ready", flush=True)
time.sleep(60)
"""


def writer(path: Path, what: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path), what], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_as_it_was_until_it_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "a.nii.gz"
    with draft(file) as made:
        made.write_text("one")
        assert made.name.endswith(".nii.gz")
        assert made.name.startswith(".")
        assert not file.exists()
    with suppress(KeyError), draft(file) as made:
        made.write_text("two")
        raise KeyError
    assert file.read_text() == "one"
    assert names(file.parent) == ["a.nii.gz"]


def test_what_a_killed_writer_left_goes_with_the_next_one(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    process = writer(file, "file")
    assert len(names(tmp_path)) == 2
    # It lives: its drafts are left alone.
    with draft(file) as made:
        made.write_text("whole")
    assert len(names(tmp_path)) == 3
    kill(process)
    with draft(file) as made:
        assert made.read_text() == ""
        made.write_text("again")
    assert names(tmp_path) == ["a.json"]
    assert file.read_text() == "again"


def test_folders_of_drafts_likewise(tmp_path: Path) -> None:
    process = writer(tmp_path, "folder")
    with draft_folder(tmp_path) as folder:
        assert [each.name for each in folder.iterdir()] == [".lock"]
        assert len(names(tmp_path)) == 3
    assert len(names(tmp_path)) == 2
    kill(process)
    with draft_folder(tmp_path) as folder:
        (folder / "sub").mkdir()
        assert names(tmp_path) == [folder.name]
    assert names(tmp_path) == []


def test_drafts_of_a_folder_are_cleared_at_once(tmp_path: Path) -> None:
    for name in ("notes.txt", ".hidden", ".5-a.nii.gz"):
        (tmp_path / name).write_text("mine")
    mine = names(tmp_path)
    processes = [writer(tmp_path / "a", "file"), writer(tmp_path, "folder")]
    lock_file(tmp_path).touch()
    clear_drafts(tmp_path)
    assert len(names(tmp_path)) == len(mine) + 4
    for each in processes:
        kill(each)
    clear_drafts(tmp_path)
    assert names(tmp_path) == mine
    clear_drafts(tmp_path / "nothing")


def test_twins_write_the_same_file(tmp_path: Path) -> None:
    file = tmp_path / "a"

    def write(text: str) -> None:
        for _ in range(200):
            with draft(file) as made:
                made.write_text(text)

    twins = [threading.Thread(target=write, args=(letter * 1000,)) for letter in "xyz"]
    for each in twins:
        each.start()
    while any(each.is_alive() for each in twins):
        if file.exists():
            text = file.read_text()
            assert len(text) == 1000
            assert len(set(text)) == 1
    assert names(tmp_path) == ["a"]


def test_one_at_a_time(tmp_path: Path) -> None:
    lock, inside, seen = tmp_path / "lock", [], []

    def enter() -> None:
        for _ in range(50):
            with one_at_a_time(lock):
                inside.append(1)
                seen.append(len(inside))
                time.sleep(0.0005)
                inside.pop()

    threads = [threading.Thread(target=enter) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert seen == [1] * 200
    assert not lock.exists()


def test_a_disk_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drafts, "fcntl", None)
    with draft(tmp_path / "a") as made, draft_folder(tmp_path) as folder:
        made.write_text("x")
        (folder / "b").write_text("x")
        with one_at_a_time(tmp_path / "lock"):
            pass
    assert names(tmp_path) == ["a"]
