"""An archive gives back what was put in, and refuses everything else in a sentence."""

from __future__ import annotations

import errno
import hashlib
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spsam.checksums import to_sealed_json
from spsam.engine.exchange.archive import MANIFEST, Archive, is_safe_name, write_archive
from spsam.errors import InputError, SpsamError

MEMBERS = {"README.md": b"card", "runs/0/run.json": b'{"a": 1}', "runs/0/zeros": bytes(100_000)}


def written(path: Path) -> Path:
    write_archive(path, {"kind": "test"}, MEMBERS)
    return path


def test_what_was_put_in_comes_out_and_equal_content_is_one_file(tmp_path: Path) -> None:
    archive = Archive(written(tmp_path / "a.zip"))
    assert {name: archive.read(name) for name in MEMBERS} == MEMBERS
    assert archive.about["kind"] == "test"
    assert archive.read_json("runs/0/run.json") == {"a": 1}
    again = tmp_path / "again.zip"
    write_archive(again, {"kind": "test"}, dict(reversed(MEMBERS.items())))
    assert again.read_bytes() == (tmp_path / "a.zip").read_bytes()
    with zipfile.ZipFile(again) as other:
        assert other.testzip() is None
        assert other.namelist()[0] == MANIFEST
    with pytest.raises(InputError, match=r"a\.zip: does not contain nothing/here"):
        archive.read("nothing/here")


def test_every_damaged_byte_is_noticed(tmp_path: Path) -> None:
    """A flipped byte is refused, or was one that says nothing, such as a date."""
    content = written(tmp_path / "a.zip").read_bytes()
    file = tmp_path / "b.zip"
    refused = 0
    for at in range(0, len(content), 7):
        file.write_bytes(content[:at] + bytes([content[at] ^ 0x55]) + content[at + 1 :])
        try:
            archive = Archive(file)
            assert {name: archive.read(name) for name in MEMBERS} == MEMBERS
        except InputError:
            refused += 1
    assert refused > len(range(0, len(content), 7)) / 2
    for size in (0, 10, len(content) // 2, len(content) - 1):
        file.write_bytes(content[:size])
        with pytest.raises(InputError, match="is not an exported model or is damaged"):
            Archive(file)


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = written(tmp_path / "a.zip")
    before = file.read_bytes()

    def full(self: zipfile.ZipFile, *arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "writestr", full)
    with pytest.raises(SpsamError, match=r"a\.zip: the model cannot be written: No space left"):
        write_archive(file, {}, {"x": b"other"})
    assert file.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["a.zip"]


def listed(members: dict[str, bytes]) -> str:
    return to_sealed_json(
        {
            "files": {
                name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
                for name, content in members.items()
            }
        }
    )


def made(
    path: Path, change: Callable[[zipfile.ZipFile], None], manifest: str | None = None
) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(MANIFEST, listed({}) if manifest is None else manifest)
        change(archive)
    return path


def link(archive: zipfile.ZipFile) -> None:
    info = zipfile.ZipInfo("link")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive.writestr(info, "/etc/passwd")


def twice(archive: zipfile.ZipFile) -> None:
    archive.writestr("x", b"1")
    with pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("x", b"2")


def bzip(archive: zipfile.ZipFile) -> None:
    archive.writestr("x", b"1", compress_type=zipfile.ZIP_BZIP2)


def put(name: str, content: bytes = b"x") -> Callable[[zipfile.ZipFile], None]:
    return lambda archive: archive.writestr(name, content)


@pytest.mark.parametrize(
    ("change", "manifest", "message"),
    [
        (put("../up"), None, "an unsafe name: '../up'"),
        (put("a/../../up"), None, "an unsafe name"),
        (put("/etc/passwd"), None, "an unsafe name"),
        (put("C:/x"), None, "an unsafe name"),
        (put("a\\b"), None, "an unsafe name"),
        (put("folder/"), None, "an unsafe name"),
        (put("a\nb"), None, "an unsafe name"),
        (link, None, "its member link is a link, not a file"),
        (twice, None, "contains two files with the same name"),
        (bzip, None, "has an unknown compression"),
        (put("more"), None, f"contains a file that is not in its {MANIFEST}: more"),
        (put("x", b"xy"), listed({"x": b"x"}), "its member x has another size"),
        (put("y"), listed({"x": b"x", "y": b"x"}), "does not contain x"),
        (put("x"), "{}", f"its {MANIFEST} is damaged"),
        (put("x"), "[" * 100_000, f"its {MANIFEST} is damaged"),
        (put("x"), listed({"x": b"x"}).replace("sha", "sho"), f"its {MANIFEST} is damaged"),
        (put("x"), to_sealed_json({"files": [1]}), f"its {MANIFEST} is damaged"),
    ],
)
def test_what_is_no_archive_of_ours_is_refused(
    change: Callable[[zipfile.ZipFile], None], manifest: str | None, message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError) as caught:
        Archive(made(tmp_path / "bad.zip", change, manifest))
    assert message in str(caught.value)
    assert all(problem.file == tmp_path / "bad.zip" for problem in caught.value.problems)


def test_another_content_of_the_same_size_is_noticed(tmp_path: Path) -> None:
    archive = Archive(made(tmp_path / "a.zip", put("x", b"y"), listed({"x": b"x"})))
    with pytest.raises(InputError, match="its member x is damaged: its hash does not match"):
        archive.read("x")


def test_what_unpacks_to_more_than_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = written(tmp_path / "a.zip")
    monkeypatch.setattr("spsam.engine.exchange.archive.memory_at_hand", lambda: 99_999)
    with pytest.raises(InputError, match="unpacks to"):
        Archive(file)


def test_a_zip_without_a_manifest_is_no_model(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("x", b"x")
    with pytest.raises(InputError, match=f"no {MANIFEST}; spsam export creates one"):
        Archive(tmp_path / "a.zip")


@given(st.text(max_size=30))
def test_a_safe_name_stays_below_its_folder(name: str) -> None:
    if is_safe_name(name):
        place = (Path("/folder") / name).resolve()
        assert place.is_relative_to("/folder")
        assert place != Path("/folder")
