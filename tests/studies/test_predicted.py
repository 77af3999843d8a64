"""The record of predictions: what is finished, what is in the way, what an interruption leaves."""

from __future__ import annotations

import json
import os
import threading
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from spsam.data.cases import Case
from spsam.data.sources.label_maps import RECORD
from spsam.errors import InputError
from spsam.studies.predicted import Predicted, place_problems, volume_hash
from tests.data.layouts import blocks, random_image, write_image

FORMS = ("{}.nii.gz", "probabilities/{}.nii.gz")


def never() -> None:
    raise AssertionError


def case(file: Path, seed: int = 1) -> Case:
    if not file.exists():
        write_image(file, random_image(seed))
    return Case(file.name.split(".")[0], "p", partial(never), partial(never), (file,))  # type: ignore[arg-type]


def folder(tmp_path: Path, **about: object) -> Predicted:
    return Predicted(tmp_path / "out", {"runs": ["r"], **about}, FORMS, {"shared.txt": "one\n"})


def drafts(tmp_path: Path, name: str, seed: int = 0) -> Path:
    made = tmp_path / "made"
    made.mkdir(exist_ok=True)
    write_image(made / f"{name}.nii.gz", blocks())
    (made / "probabilities").mkdir(exist_ok=True)
    (made / "probabilities" / f"{name}.nii.gz").write_bytes(bytes([seed]) * 100)
    return made


def test_a_volume_is_finished_with_all_its_files(tmp_path: Path) -> None:
    out, scan = folder(tmp_path), case(tmp_path / "a.nii.gz")
    assert out.finished({"a": scan}) == set()
    out.begin()
    out.add("a", volume_hash(scan), drafts(tmp_path, "a"))
    assert out.finished({"a": scan}) == {"a"}
    # A record is the same for the same files, wherever they lie.
    assert str(tmp_path) not in (out.folder / RECORD).read_text()
    other = case(tmp_path / "b.nii.gz", 2)
    assert out.finished({"a": scan, "b": other}) == {"a"}
    # The scan under another name is another volume.
    assert out.finished({"b": scan}) == set()
    (out.folder / "probabilities" / "a.nii.gz").unlink()
    assert out.finished({"a": scan}) == set()
    out.add("a", volume_hash(scan), drafts(tmp_path, "a", 7))
    assert out.finished({"a": scan}) == {"a"}


def test_other_runs_and_options_are_refused(tmp_path: Path) -> None:
    folder(tmp_path).begin()
    for other in (folder(tmp_path, runs=["s"]), folder(tmp_path, options=1)):
        with pytest.raises(InputError, match="predictions of other runs or options"):
            other.finished({})
        with pytest.raises(InputError, match="predictions of other runs or options"):
            other.begin()


class Killed(BaseException):
    pass


@pytest.mark.parametrize("step", range(1, 9))
@pytest.mark.parametrize("again", [False, True])
def test_an_interruption_at_any_step_is_made_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, again: bool
) -> None:
    """Of files that are there anew, and of ones that an interrupted call had left."""
    out, scan = folder(tmp_path), case(tmp_path / "a.nii.gz")
    out.begin()
    if again:
        out.add("a", volume_hash(scan), drafts(tmp_path, "a"))
        (out.folder / "a.nii.gz").unlink()
    steps = 0

    def counted(function: object, *args: object, **options: object) -> object:
        nonlocal steps
        steps += 1
        if steps == step:
            raise Killed
        return function(*args, **options)  # type: ignore[operator]

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", partial(counted, os.replace))
        patch.setattr(Path, "unlink", lambda path, **options: counted(os.unlink, path))
        with suppress(Killed):
            out.add("a", volume_hash(scan), drafts(tmp_path, "a", 5))
    if "a" not in out.finished({"a": scan}):
        out.add("a", volume_hash(scan), drafts(tmp_path, "a", 6))
    assert out.finished({"a": scan}) == {"a"}


def test_what_came_in_between_is_not_overwritten(tmp_path: Path) -> None:
    out, scan = folder(tmp_path), case(tmp_path / "a.nii.gz")
    out.begin()
    write_image(out.folder / "a.nii.gz", random_image(3))
    before = (out.folder / "a.nii.gz").read_bytes()
    with pytest.raises(InputError, match=r"a\.nii\.gz: was created meanwhile"):
        out.add("a", volume_hash(scan), drafts(tmp_path, "a"))
    assert (out.folder / "a.nii.gz").read_bytes() == before


def test_processes_may_share_a_folder(tmp_path: Path) -> None:
    """Of twins the first one's files stay; the record names every volume."""
    scans = {name: case(tmp_path / f"{name}.nii.gz", seed) for seed, name in enumerate("abcd")}
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            out = folder(tmp_path)
            out.begin()
            for name, scan in scans.items():
                made = drafts(tmp_path / f"t{number}", name, number)
                out.add(name, volume_hash(scan), made)
                for file in made.rglob("*.gz"):
                    file.unlink(missing_ok=True)
        except BaseException as error:
            errors.append(error)

    for number in range(3):
        (tmp_path / f"t{number}").mkdir()
    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert errors == []
    out = folder(tmp_path)
    assert out.finished(scans) == set(scans)
    assert sorted(json.loads((out.folder / RECORD).read_text())["volumes"]) == list("abcd")
    assert not [file for file in out.folder.iterdir() if file.name.startswith(".")]


def test_results_lie_apart_from_scans(tmp_path: Path) -> None:
    scan = case(tmp_path / "scans" / "a.nii.gz")
    file = scan.files[0]
    for good in (tmp_path / "out", tmp_path / "scans2", tmp_path / "scans" / "new"):
        # A file alone says nothing of its folder's other files.
        assert place_problems(good, [file], [scan]) == []
    assert place_problems(tmp_path / "scans" / "new", [file.parent], [scan])
    for bad in (tmp_path, tmp_path / "scans", tmp_path / "x" / ".." / "scans"):
        (tmp_path / "x").mkdir(exist_ok=True)
        assert place_problems(bad, [file], [scan])


def test_a_relative_folder_and_a_link_are_the_same_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = case(tmp_path / "scans" / "a.nii.gz")
    (tmp_path / "link").symlink_to("scans")
    monkeypatch.chdir(tmp_path)
    for output in ("scans", "link", "link/new", "./scans/../scans"):
        assert place_problems(Path(output), [tmp_path / "scans"], [scan])
        assert place_problems(tmp_path / "scans", [Path(output)], [scan]) or "new" in output


def test_a_file_about_all_volumes_is_written_and_guarded(tmp_path: Path) -> None:
    out = folder(tmp_path)
    out.begin()
    shared = out.folder / "shared.txt"
    assert shared.read_bytes() == b"one\n"
    shared.unlink()
    out.begin()
    assert shared.read_bytes() == b"one\n"
    shared.write_text("of another program")
    for asked in (out.begin, partial(out.finished, {})):
        with pytest.raises(InputError, match=r"shared\.txt: was not written by spsam predict"):
            asked()
    assert shared.read_text() == "of another program"


def test_a_file_in_a_folder_of_results_is_in_the_way(tmp_path: Path) -> None:
    out, scan = folder(tmp_path), case(tmp_path / "a.nii.gz")
    out.begin()
    (out.folder / "probabilities").mkdir()
    (out.folder / "probabilities" / "a.nii.gz").write_bytes(b"another program's")
    with pytest.raises(InputError, match=r"probabilities/a\.nii\.gz: was not written by"):
        out.finished({"a": scan})
    (out.folder / "probabilities" / "a.nii.gz").unlink()
    (out.folder / "probabilities").rmdir()
    (out.folder / "probabilities").touch()
    with pytest.raises(InputError, match="probabilities: was not written by spsam predict"):
        out.finished({"a": scan})


def test_files_that_an_earlier_version_wrote_give_way(tmp_path: Path) -> None:
    """The same options made a file of another name: it is replaced, not left behind."""
    scan = case(tmp_path / "a.nii.gz")
    earlier = Predicted(tmp_path / "out", {"runs": ["r"]}, ("{}.nii.gz", "{}.npy"))
    earlier.begin()
    made = tmp_path / "made"
    made.mkdir()
    write_image(made / "a.nii.gz", blocks())
    (made / "a.npy").write_bytes(b"1")
    earlier.add("a", volume_hash(scan), made)
    out = folder(tmp_path)
    assert out.finished({"a": scan}) == set()
    out.add("a", volume_hash(scan), drafts(tmp_path, "a"))
    assert out.finished({"a": scan}) == {"a"}
    assert not (out.folder / "a.npy").exists()


def test_a_record_that_leads_out_of_its_folder_is_refused(tmp_path: Path) -> None:
    out, scan = folder(tmp_path), case(tmp_path / "a.nii.gz")
    out.begin()
    record = out.folder / RECORD
    said = json.loads(record.read_text())
    said["volumes"] = {"a": {"input": volume_hash(scan), "files": {"../a.nii.gz": "0"}}}
    record.write_text(json.dumps(said))
    with pytest.raises(InputError, match="other runs or options"):
        out.finished({"a": scan})
    assert (tmp_path / "a.nii.gz").is_file()
