from __future__ import annotations

import gzip
import json
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spsam.errors import InputError
from spsam.reporting.records.format import clean_record, without_paths
from spsam.reporting.records.verify import find_records, read_record, verify_record
from spsam.reporting.records.write import write_record
from spsam.reporting.study_reader import read_study
from spsam.results.run_folder import RunFolder
from tests.reporting.prompts.study import make_prompt_study
from tests.reporting.store import make_study


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return make_study(tmp_path / "home", status={("S3", 1): "failed", ("S3", 2): "missing"})


def test_a_record_is_computed_again_and_is_the_same(study: Path, tmp_path: Path) -> None:
    record = write_record(study, tmp_path / "results" / "mine")
    assert find_records(tmp_path / "results") == find_records(record) == [record]
    assert verify_record(record) == []
    assert {path.name for path in (record / "tables").glob("*.csv")} == {
        "ablation.csv",
        "comparisons.csv",
        "table3_acdc.csv",
    }
    assert [path.name for path in tmp_path.glob("results/.*")] == []


def test_records_in_subfolders_are_found_after_the_others(tmp_path: Path) -> None:
    records = [tmp_path / name for name in ("mine", "older/a", "older/mine")]
    for record in records:
        record.mkdir(parents=True)
        (record / "manifest.json").touch()
    assert find_records(tmp_path) == records


def test_what_is_read_back_is_what_was_measured(study: Path, tmp_path: Path) -> None:
    measured, recorded = read_study(study), read_record(write_record(study, tmp_path / "mine"))
    pd.testing.assert_frame_equal(recorded.rows, measured.rows)
    assert list(recorded.runs["state"]) == list(measured.runs["state"])
    assert list(recorded.runs["config_hash"]) == list(measured.runs["config_hash"])
    assert recorded.arms == measured.arms


def test_equal_studies_are_equal_bytes(study: Path, tmp_path: Path) -> None:
    one, two = write_record(study, tmp_path / "one"), write_record(study, tmp_path / "two")
    for path in one.rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (two / path.relative_to(one)).read_bytes()


def forge_row(record: Path) -> None:
    file = record / "rows.csv.gz"
    lines = gzip.decompress(file.read_bytes()).decode().splitlines()
    lines[2] = lines[2].rpartition(",")[0] + ",0.123"
    file.write_bytes(gzip.compress("\n".join(lines).encode()))


def forge_number(record: Path) -> None:
    file = record / "tables" / "ablation.csv"
    lines = file.read_text().splitlines()
    values = lines[1].split(",")
    values[4] = "99.000000"
    file.write_text("\n".join([lines[0], ",".join(values), *lines[2:]]) + "\n")


def test_a_forged_row_is_found_with_the_numbers_it_changes(study: Path, tmp_path: Path) -> None:
    record = write_record(study, tmp_path / "mine")
    forge_row(record)
    found = verify_record(record)
    assert found[0] == "mine: rows.csv.gz differs from its recorded checksum"
    assert any("tables/ablation.csv: row S1, column dice: stored" in text for text in found)


def test_a_forged_number_is_found(study: Path, tmp_path: Path) -> None:
    record = write_record(study, tmp_path / "mine")
    forge_number(record)
    found = verify_record(record)
    assert "mine: tables/ablation.csv differs from its recorded checksum" in found
    assert any("row S1, column dice: stored 99.000000, computed" in text for text in found)
    # Also where the manifest was forged with it.
    manifest = json.loads((record / "manifest.json").read_text())
    from spsam.checksums import sha256

    manifest["tables/ablation.csv"] = sha256((record / "tables" / "ablation.csv").read_bytes())
    (record / "manifest.json").write_text(json.dumps(manifest))
    assert len(verify_record(record)) == 1


@pytest.mark.parametrize("name", ["rows.csv.gz", "study.json", "runs.json", "tables/ablation.csv"])
def test_a_damaged_or_missing_file_is_a_difference_not_a_crash(
    name: str, study: Path, tmp_path: Path
) -> None:
    record = write_record(study, tmp_path / "mine")
    (record / name).write_bytes(b"{")
    assert verify_record(record)
    (record / name).unlink()
    assert any("missing" in text or "cannot be read" in text for text in verify_record(record))


def test_a_record_of_prompts(tmp_path: Path) -> None:
    record = write_record(make_prompt_study(tmp_path), tmp_path / "results" / "prompts")
    assert verify_record(record) == []
    forge_row(record)
    assert any("tables/table.csv" in text for text in verify_record(record))


def test_nothing_tells_of_the_machine(tmp_path: Path) -> None:
    study = make_study(tmp_path / "home")
    for run in (tmp_path / "home" / "runs").iterdir():
        said = json.loads((run / "run.json").read_text())
        said["environment"] |= {"device_name": "my-host", "platform": "Linux-6.1-my-host"}
        said["weights"] = "/home/me/sam.pth"
        RunFolder(tmp_path / "home", run.name).note(**said)
        (run / "config.yaml").write_text(
            "arm:\n  backbone: {checkpoint: /home/me/weights/sam.pth}\n  plugins: [C:\\me\\mine]\n"
        )
    record = write_record(study, tmp_path / "mine")
    for path in record.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            text = gzip.decompress(content) if path.suffix == ".gz" else content
            for told in (b"my-host", b"/home", b"\\me", str(tmp_path).encode()):
                assert told not in text, path.name
    assert "checkpoint: sam.pth" in next((record / "configs").iterdir()).read_text()


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("/a/b/c.nii.gz", "c.nii.gz"),
        ("~/x/y", "y"),
        ("D:\\x\\y.txt", "y.txt"),
        ("in /tmp/x and /y/z.", "in x and z."),
        ("a / b", "a / b"),
        ("Dice/mean", "Dice/mean"),
        ("w/ Depth MLPs", "w/ Depth MLPs"),
        ("1/2", "1/2"),
        ("https://example.org/a", "https://example.org/a"),
        ("spsam.model:X", "spsam.model:X"),
    ],
)
def test_only_absolute_paths_are_shortened(text: str, left: str) -> None:
    assert without_paths({"k": [text]}) == {"k": [left]}


@given(st.text("abc ./~", max_size=20))
def test_shortening_twice_changes_nothing_more(text: str) -> None:
    once = without_paths(text)
    assert without_paths(without_paths(once)) == without_paths(once)


def test_a_clean_record_keeps_versions() -> None:
    record = {"environment": {"python": "3.11", "platform": "Linux-6-x", "git": {"commit": "a"}}}
    cleaned = clean_record(record)["environment"]
    assert cleaned == {"python": "3.11", "system": "Linux", "git": {"commit": "a"}}


def test_mistakes_write_nothing(study: Path, tmp_path: Path) -> None:
    target = tmp_path / "results" / "mine"
    with pytest.raises(InputError, match="is not a study"):
        write_record(tmp_path, target)
    with pytest.raises(InputError, match="--name"):
        write_record(study, target.with_name("a b"))
    assert list(target.parent.iterdir()) == []
    write_record(study, target)
    with pytest.raises(InputError, match="--replace"):
        write_record(study, target)
    write_record(study, target, replace=True)
    empty = make_study(tmp_path / "other", ("A",), (0,), status={("A", 0): "missing"})
    with pytest.raises(InputError, match="no finished run"):
        write_record(empty, target.with_name("empty"))
