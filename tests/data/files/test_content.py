"""Hashes of files: of all bytes, kept in a cache that is never trusted too far."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spsam.data.files import content
from spsam.data.files.content import cache_folder, changed, read_contents, together
from spsam.errors import InputError


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a disk whose clock is so fine that a state is settled at once."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("SPSAM_CACHE", str(folder))
    monkeypatch.setattr(content, "_TICK_NS", 0)
    return folder


def one(file: Path) -> str:
    return read_contents([file])[file].sha256


@given(data=st.binary(min_size=1, max_size=400), at=st.integers(0, 399), by=st.integers(1, 255))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_byte_counts(tmp_path: Path, data: bytes, at: int, by: int) -> None:
    file = tmp_path / "a"
    file.write_bytes(data * 500)
    before = one(file)
    assert before == hashlib.sha256(data * 500).hexdigest()
    other = bytearray(data * 500)
    other[at % len(other)] ^= by
    stat = file.stat()
    file.write_bytes(other)
    # As by a copy that keeps times.
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert one(file) != before


def test_what_is_unchanged_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [tmp_path / name for name in "abc"]
    for file in files:
        file.write_text(file.name)
    read: list[Path] = []
    hashed = content._hash
    monkeypatch.setattr(content, "_hash", lambda file: read.append(file) or hashed(file))
    first = read_contents(files)
    assert sorted(read) == files
    assert read_contents(files) == first
    assert len(read) == 3
    files[1].write_text("x")
    assert read_contents(files)[files[1]] != first[files[1]]
    assert read[3:] == [files[1]]
    assert changed(list(first.values())) == [files[1]]
    files[2].unlink()
    assert changed(list(first.values())) == files[1:]


def test_what_was_written_just_now_is_not_trusted(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(content, "_TICK_NS", 10**18)
    (tmp_path / "a").write_text("one")
    found = read_contents([tmp_path / "a"])[tmp_path / "a"]
    assert not found.settled
    assert not list(cache.rglob("*.json"))
    # The same state, another content.
    monkeypatch.setattr(content, "_state", lambda file: found.state)
    (tmp_path / "a").write_text("two")
    assert changed([found]) == [tmp_path / "a"]


@pytest.mark.parametrize("damage", ["cut", "flip", "list", "empty", "folder", "protected"])
def test_a_damaged_cache_is_none(tmp_path: Path, cache: Path, damage: str) -> None:
    file = tmp_path / "a"
    file.write_text("one")
    expected = one(file)
    (kept,) = cache.rglob("*.json")
    text = kept.read_text()
    if damage == "folder":
        kept.unlink()
        kept.mkdir()
    elif damage == "protected":
        (cache / "contents").rename(cache / "x")
        (cache / "contents").write_text("a file")
    else:
        said = {"cut": text[:40], "flip": text.replace(expected[:4], "0000"), "list": "[]"}
        kept.write_text(said.get(damage, ""))
    assert one(file) == expected
    if damage in ("cut", "flip", "list", "empty"):
        assert json.loads(kept.read_text()) == json.loads(text)


def _many(folder: str, start: int) -> None:
    for number in range(start, start + 20):
        read_contents([Path(folder) / str(number)])


def test_processes_share_the_cache(tmp_path: Path, cache: Path) -> None:
    for number in range(40):
        (tmp_path / str(number)).write_text(str(number))
    context = multiprocessing.get_context("fork")
    both = [context.Process(target=_many, args=(str(tmp_path), start)) for start in (0, 20)]
    for each in both:
        each.start()
    for each in both:
        each.join()
        assert each.exitcode == 0
    (kept,) = cache.rglob("*.json")
    said = json.loads(kept.read_text())["files"]
    assert all(said[name][4] == hashlib.sha256(name.encode()).hexdigest() for name in said)
    assert [path.name for path in kept.parent.iterdir()] == [kept.name]


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError) as caught:
        read_contents([tmp_path / "nothing", tmp_path / "folder"])
    assert "nothing: cannot be read: No such file" in str(caught.value)
    assert "folder: cannot be read: Is a directory; expected a file" in str(caught.value)


def test_where_the_cache_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPSAM_CACHE")
    monkeypatch.setattr(content.sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert cache_folder() == Path("/x/spsam")
    monkeypatch.setattr(content.sys, "platform", "darwin")
    assert cache_folder() == Path("~/Library/Caches/spsam").expanduser()


def test_order_counts_together(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_text(name)
    first, other = read_contents([tmp_path / "a", tmp_path / "b"]).values()
    assert together([first, other]) != together([other, first])
