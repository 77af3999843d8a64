from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from spsam import files
from spsam.files import atomic, clear_drafts, draft_of, write_bytes, write_text, write_texts


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def killed(folder: Path, code: str) -> None:
    """Runs code that ends its process without any cleaning up."""
    start = "import os, sys; from pathlib import Path; from spsam.files import *\n"
    process = subprocess.run(
        [sys.executable, "-c", f"{start}f = Path(sys.argv[1])\n{code}\nos._exit(9)", str(folder)],
        check=False,
        cwd=Path(__file__).parents[1],
    )
    assert process.returncode == 9


def test_a_file_is_written_with_its_folder(tmp_path: Path) -> None:
    write_text(tmp_path / "a" / "b.txt", "ä\n", durable=True)
    assert (tmp_path / "a" / "b.txt").read_bytes() == "ä\n".encode()
    assert names(tmp_path / "a") == ["b.txt"]


def test_what_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def interrupted() -> None:
        with atomic(path) as draft:
            draft.write_text("new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_files_that_belong_together_are_there_together(tmp_path: Path) -> None:
    with pytest.raises(UnicodeEncodeError):
        write_texts({tmp_path / "a": "fine", tmp_path / "b": "\ud800"})
    assert names(tmp_path) == []
    write_texts({tmp_path / "a": "1", tmp_path / "b": "2"})
    assert names(tmp_path) == ["a", "b"]


def test_a_full_disk_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with pytest.raises(OSError, match=r"a\.txt") as caught, atomic(path):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.filename == str(path)


def test_a_protected_folder_names_the_file_not_the_draft(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("no folder")
    (tmp_path / "b.txt").mkdir()
    for path in (tmp_path / "a" / "b.txt", tmp_path / "b.txt"):
        with pytest.raises(OSError, match=r"/(a|b\.txt)'") as caught:
            write_bytes(path, b"")
        assert ".draft" not in str(caught.value)


@pytest.mark.parametrize("name", ["ä" * 120 + ".nii.gz", "n" * 255])
def test_long_names_have_drafts_with_their_ending(tmp_path: Path, name: str) -> None:
    draft = draft_of(tmp_path / name)
    assert len(os.fsencode(draft.name)) <= 255
    assert draft.name.endswith(name[-7:])
    write_text(tmp_path / name, "x")
    assert names(tmp_path) == [name]


def test_drafts_of_killed_processes_go_and_others_stay(tmp_path: Path) -> None:
    killed(tmp_path, "draft_of(f / 'x.npz').write_text('half'); d = draft_of(f / 'folder')")
    killed(tmp_path, "d = draft_of(f / 'folder'); d.mkdir(); (d / 'y').touch()")
    mine = draft_of(tmp_path / "mine")
    mine.write_text("still being written")
    (tmp_path / ".draft-of-a-letter").write_text("the user's own")
    assert len(names(tmp_path)) == 4
    clear_drafts(tmp_path)
    assert names(tmp_path) == sorted([mine.name, ".draft-of-a-letter"])


def test_drafts_in_folders_below_are_found(tmp_path: Path) -> None:
    killed(tmp_path, "(f / 'a').mkdir(); draft_of(f / 'a' / 'x').touch()")
    clear_drafts(tmp_path)
    assert len(names(tmp_path / "a")) == 1
    clear_drafts(tmp_path, below=True)
    assert names(tmp_path / "a") == []
    clear_drafts(tmp_path / "missing")


def test_a_process_of_the_same_number_is_no_owner(tmp_path: Path) -> None:
    own = draft_of(tmp_path / "x").name
    began = own.split("-")[3]
    other = tmp_path / own.replace(began, str(int(began) - 100))
    other.touch()
    clear_drafts(tmp_path)
    assert names(tmp_path) == []


def test_drafts_of_other_machines_go_when_they_are_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft = draft_of(tmp_path / "x")
    draft.touch()
    monkeypatch.setattr(files, "_host", lambda: "000000")
    clear_drafts(tmp_path)
    assert names(tmp_path) == [draft.name]
    days_ago = time.time() - 3 * 24 * 3600
    os.utime(draft, (days_ago, days_ago))
    clear_drafts(tmp_path)
    assert names(tmp_path) == []
