from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from spsam.errors import InputError
from spsam.reporting.report import write_report
from spsam.reporting.study_description import find_studies
from spsam.reporting.study_reader import read_study
from spsam.results.rows import read_rows
from spsam.results.run_folder import RunFolder
from tests.reporting.store import make_study, noise


def test_rows_are_those_of_the_runs(tmp_path: Path) -> None:
    measured = read_study(make_study(tmp_path))
    assert len(measured.rows) == 3 * 3 * 6 * 4
    assert list(measured.rows["arm"].cat.categories) == ["S1", "S2", "S3"]
    for run_id, mine in measured.rows.groupby("run_id", observed=True):
        theirs = pd.DataFrame(read_rows(RunFolder(tmp_path, str(run_id)).rows))
        for column in theirs.columns:
            assert list(mine[column]) == list(theirs[column])


def test_holes_are_lines_without_rows(tmp_path: Path) -> None:
    holes = {("S1", 1): "failed", ("S2", 0): "missing", ("S2", 1): "running"}
    folder = make_study(tmp_path, seeds=(0, 1), status=holes)
    (RunFolder(tmp_path, "S3run000").rows).write_text("{broken\n")
    (RunFolder(tmp_path, "S3run001").record).write_text("nothing")
    measured = read_study(folder)
    states = ["finished", "failed", "missing", "missing", "failed", "failed"]
    assert list(measured.runs["state"]) == states
    assert set(measured.rows["arm"]) == {"S1"}


def test_a_study_without_any_run(tmp_path: Path) -> None:
    folder = make_study(tmp_path, arms=("S1",), seeds=(0,), status={("S1", 0): "missing"})
    measured = read_study(folder)
    assert len(measured.rows) == 0
    assert list(measured.rows["arm"].cat.categories) == ["S1"]
    assert measured.runs["config_hash"][0] is None


def test_provenance_of_a_run(tmp_path: Path) -> None:
    folder = make_study(tmp_path, extra={"cost": {"gflops": 2.5, "step_seconds": {"joint": None}}})
    run = read_study(folder).runs.iloc[0]
    config = RunFolder(tmp_path, "S1run000").config.read_bytes()
    assert run["config_hash"] == hashlib.sha256(config).hexdigest()[:16]
    assert run["git_commit"].startswith("0123")
    assert run["gflops"] == 2.5
    assert np.isnan(run["step_seconds"])  # not measured
    assert np.isnan(run["peak_memory_bytes"])  # an older run knows nothing of it


def test_left_out_values_are_nan(tmp_path: Path) -> None:
    folder = make_study(tmp_path, value=lambda a, s, c, k: np.nan if k == 2 else noise(a, s, c, k))
    rows = read_study(folder).rows
    assert rows.loc[rows["class_id"] == 2, "value"].isna().all()
    assert rows.loc[rows["class_id"] != 2, "value"].notna().all()


def test_studies_are_found_by_their_description(tmp_path: Path) -> None:
    one, two = make_study(tmp_path, name="b"), make_study(tmp_path / "x", name="a")
    (tmp_path / "ablations" / "empty").mkdir()
    assert find_studies(tmp_path) == [one]
    assert find_studies(two) == [two]
    assert find_studies(tmp_path / "nowhere") == []


@pytest.mark.parametrize("text", ["", "[]", '{"name": 1}', "{broken"])
def test_a_damaged_description_is_an_error(text: str, tmp_path: Path) -> None:
    folder = make_study(tmp_path)
    (folder / "ablation.json").write_text(text)
    with pytest.raises(InputError, match=r"ablation\.json: is not a study's description"):
        read_study(folder)


def test_a_damaged_run_is_a_hole_with_its_reason(tmp_path: Path) -> None:
    folder = make_study(tmp_path, seeds=(0, 1))
    run = RunFolder(tmp_path, "S2run001")
    run.note(files=run.checksums())
    run.rows.write_bytes(run.rows.read_bytes().replace(b"0.", b"1.", 1))
    RunFolder(tmp_path, "S1run000").record.write_bytes(b'{"status": "\xa2"}')
    measured = read_study(folder)
    assert set(measured.reasons) == {"S1run000", "S2run001"}
    assert "rows.jsonl: is damaged; remove the folder" in measured.reasons["S2run001"]
    report = write_report(folder, tmp_path / "report", formats=["csv"], figures=False)
    assert len(report.holes) == 2
    assert report.holes[0].startswith("S1 seed 0: ")
    assert "run.json: is damaged" in report.holes[0]


WITHOUT = ("name", "cases", "data", "seeds", "arms", "test", "class_names")


@pytest.mark.parametrize("without", WITHOUT)
def test_a_description_that_lacks_something_is_no_study(tmp_path: Path, without: str) -> None:
    folder = make_study(tmp_path, arms=("S1",), seeds=(0,))
    about = json.loads((folder / "ablation.json").read_text())
    for part in (about, about["cases"], about["data"]):
        part.pop(without, None)
    (folder / "ablation.json").write_text(json.dumps(about))
    with pytest.raises(InputError, match="is not a study's description"):
        read_study(folder)


@pytest.mark.parametrize("value", ["text", 3, [], {"git": 1}])
def test_an_odd_record_of_an_earlier_version_is_no_error(tmp_path: Path, value: object) -> None:
    folder = make_study(tmp_path, arms=("S1",), seeds=(0,))
    RunFolder(tmp_path, "S1run000").note(environment=value, cost=value)
    assert read_study(folder).runs["git_commit"][0] is None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("external", "yes"),
        ("external", {"folder": "maps"}),
        ("tuned", [1]),
        ("tuned", {"trials": 3}),
        ("tuned", {"trials": 3, "sampler": "qmc", "validation_cases": 1, "space": {"lr": {}},
                   "values": None}),
    ],
)  # fmt: skip
def test_a_damaged_external_or_tuning_is_refused(tmp_path: Path, key: str, value: object) -> None:
    folder = make_study(tmp_path, ("S1",), (0,))
    about = json.loads((folder / "ablation.json").read_text())
    about["arms"][0][key] = value
    (folder / "ablation.json").write_text(json.dumps(about))
    with pytest.raises(InputError, match="is not a study's description"):
        read_study(folder)
