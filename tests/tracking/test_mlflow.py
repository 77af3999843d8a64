from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from spsam.text.secrets import masked
from spsam.tracking.mlflow import EXPERIMENT, Tracker, store
from spsam.tracking.study_summary import summary_of

if TYPE_CHECKING:
    from mlflow.entities import Run

PARAMS = {"arm.train.epochs": 3, "arm.long": "x" * 600, "odd(name)": 1}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a store: making one costs seconds."""
    home = tmp_path_factory.mktemp("template")
    tracker = Tracker(home, pytest.fail)
    tracker.open("first", "first", {})
    tracker.close("FINISHED")
    return home


@pytest.fixture
def home(template: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return template


def runs(home: Path, key: str) -> tuple[list[Run], dict[str, Run]]:
    """The study's parent runs and its children by run id."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=store(home))
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    parents = list(client.search_runs([experiment.experiment_id], f"tags.study = '{key}'"))
    within = f"tags.mlflow.parentRunId = '{parents[0].info.run_id}'"
    children = client.search_runs([experiment.experiment_id], within)
    assert len({child.data.tags["run_id"] for child in children}) == len(children)
    return parents, {child.data.tags["run_id"]: child for child in children}


def history(home: Path, run: Run, name: str) -> list[tuple[int, float]]:
    from mlflow.tracking import MlflowClient

    points = MlflowClient(tracking_uri=store(home)).get_metric_history(run.info.run_id, name)
    return [(point.step, point.value) for point in points]


def artifacts(home: Path, run: Run) -> set[str]:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=store(home))
    return {file.path for file in client.list_artifacts(run.info.run_id)}


def test_a_study_with_one_run(home: Path, tmp_path: Path) -> None:
    tracker = Tracker(home, pytest.fail)
    tracker.open("study", "key-a", {"data": "phantom"})
    tracker.begin("r1", "S1 seed 0", tags={"arm": "S1"}, params=PARAMS)
    for epoch in range(3):
        tracker.epoch({"epoch": epoch, "loss/total": 3.0 - epoch})
    (tmp_path / "config.yaml").write_text("a: 1")
    files = [tmp_path / "config.yaml", tmp_path / "none.png"]
    tracker.finish("FINISHED", {"dice/mean": 0.5, "dice/left (a)": 0.25}, files)
    assert tracker.recorded("r1")
    assert not tracker.recorded("r2")
    tracker.close("FINISHED")

    (parent,), children = runs(home, "key-a")
    assert parent.info.run_name == "study"
    assert parent.info.status == "FINISHED"
    assert parent.data.tags["data"] == "phantom"
    child = children["r1"]
    assert child.info.status == "FINISHED"
    assert child.data.tags["arm"] == "S1"
    assert child.data.params["arm.train.epochs"] == "3"
    assert child.data.params["odd_name_"] == "1"
    assert len(child.data.params["arm.long"]) == 500
    assert child.data.metrics["dice/mean"] == 0.5
    assert child.data.metrics["dice/left _a_"] == 0.25
    assert history(home, child, "loss/total") == [(0, 3.0), (1, 2.0), (2, 1.0)]
    assert artifacts(home, child) == {"config.yaml"}


def test_a_resumed_study_goes_on_in_the_same_runs(home: Path) -> None:
    first = Tracker(home, pytest.fail)
    first.open("study", "key-b", {})
    first.begin("r1", "S1 seed 0", tags={}, params=PARAMS)
    first.epoch({"epoch": 0, "loss": 2.0})
    first.epoch({"epoch": 1, "loss": 1.0})
    assert not first.recorded("r1")  # no process lives to end it

    second = Tracker(home, pytest.fail)
    second.open("study", "key-b", {})
    second.begin("r1", "S1 seed 0", tags={}, params=PARAMS)
    second.epoch({"epoch": 1, "loss": 1.0})  # run again, from a checkpoint after epoch 0
    second.epoch({"epoch": 2, "loss": 0.5})
    second.finish("FAILED")
    second.close("FAILED")

    parents, children = runs(home, "key-b")
    assert len(parents) == 1
    assert parents[0].info.status == "FAILED"
    assert children["r1"].info.status == "FAILED"
    assert history(home, children["r1"], "loss") == [(0, 2.0), (1, 1.0), (2, 0.5)]


def test_two_studies_keep_their_runs_apart(home: Path) -> None:
    for key in ("key-c", "key-d"):
        tracker = Tracker(home, pytest.fail)
        tracker.open(key, key, {})
        assert not tracker.recorded("shared")
        tracker.begin("shared", "S1 seed 0", tags={}, params={})
        tracker.finish("FINISHED")
        tracker.close("FINISHED")
    assert set(runs(home, "key-c")[1]) == set(runs(home, "key-d")[1]) == {"shared"}


def use_everything(tracker: Tracker, file: Path) -> None:
    tracker.open("study", "key", {})
    tracker.begin("r1", "S1", tags={}, params=PARAMS)
    tracker.epoch({"epoch": 0, "loss": 2.0})
    tracker.finish("FINISHED", {"dice/mean": 0.5}, [file])
    assert tracker.recorded("r1")  # nothing could be recorded now
    assert not tracker.close("FINISHED")


def test_a_damaged_store_is_one_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "mlflow.db").write_text("this is no database, and long enough to be read as one")
    said: list[str] = []
    use_everything(Tracker(tmp_path, said.append), tmp_path / "mlflow.db")
    assert len(said) == 1
    assert "continuing without it" in said[0]


NO_STORES = [
    *("http://127.0.0.1:9", "nonsense://x", "http://127.0.0.1:no", "http://[", "databricks"),
    # Drivers that are not installed, an address that is none, a folder that cannot be one.
    *("postgresql+nothing://u:p@127.0.0.1:1/x", "mssql+pyodbc://h/x", "mysql+oursql://h/x"),
    "sqlite:////dev/null/x/mlflow.db",
]


@pytest.mark.parametrize("uri", NO_STORES)
def test_a_server_that_is_away_is_one_warning(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    said: list[str] = []
    use_everything(Tracker(tmp_path, said.append), tmp_path)
    assert len(said) == 1
    assert masked(uri) in said[0]


def test_a_failure_midway_is_one_warning(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow.tracking import MlflowClient

    said: list[str] = []
    tracker = Tracker(home, said.append)
    tracker.open("study", "key-e", {})
    tracker.begin("r1", "S1", tags={}, params={})

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "log_batch", full)
        tracker.epoch({"epoch": 0, "loss": 2.0})
    tracker.epoch({"epoch": 1, "loss": 2.0})
    tracker.finish("FINISHED")
    assert len(said) == 1
    assert not tracker.on
    assert not history(home, runs(home, "key-e")[1]["r1"], "loss")


@pytest.mark.parametrize("last", [False, True])
def test_closing_returns_whether_everything_is_there(
    last: bool, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.tracking import MlflowClient

    said: list[str] = []
    tracker = Tracker(home, said.append)
    tracker.open("study", f"key-closed-{last}", {})

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    if last:
        monkeypatch.setattr(MlflowClient, "log_artifact", full)
    assert tracker.close("FINISHED", [Path(__file__)]) is not last
    assert len(said) == last


def test_a_mistake_in_the_project_is_no_warning(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = Tracker(home, lambda _: None)
    tracker.open("study", "key-f", {})
    with pytest.raises(ValueError, match="loss"):
        tracker.epoch({"loss": "loss"})  # type: ignore[dict-item]


def test_an_own_store_is_respected(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = store(home)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", elsewhere)
    tracker = Tracker(tmp_path, pytest.fail)
    tracker.open("study", "key-g", {})
    tracker.close("FINISHED")
    assert len(runs(home, "key-g")[0]) == 1
    assert not (tmp_path / "mlflow.db").exists()


@pytest.mark.parametrize("name", ["run?2", "a#b", "50%", "x%20y", "o'b\"c [1]; ä=左"])
def test_a_folder_of_any_name_holds_its_database(
    name: str, template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spsam.tracking.lookup import run_pages

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copytree(template, tmp_path / name)
    tracker = Tracker(tmp_path / name, pytest.fail)
    tracker.open("study", "key", {})
    tracker.begin("of the folder", "S1", tags={}, params={})
    tracker.finish("FINISHED", {"dice/mean": 0.5}, [Path(__file__)])
    tracker.close("FINISHED")
    assert "of the folder" in run_pages(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]


KEYS = ["o'brien", "a \"b\" 'c'", "50% _x", "100%\\", "a\nb", "左心室", "😀' or '1'='1"]


def test_keys_with_quotes_and_wildcards_find_their_own_study(home: Path) -> None:
    for _ in range(2):
        for key in KEYS:
            tracker = Tracker(home, pytest.fail)
            tracker.open(key, key, {"data": key})
            tracker.begin(key, key, tags={}, params={}, group=key)
            tracker.finish("FINISHED")
            assert tracker.recorded(key)
            assert not tracker.recorded(key[:-1])
            tracker.close("FINISHED")
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=store(home))
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id], "tags.study LIKE '%'")
    assert sorted(run.data.tags["study"] for run in found if run.data.tags["study"] in KEYS) == (
        sorted(KEYS)
    )


def test_a_locked_database_with_a_new_experiment_is_one_warning(
    template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mine")

    def locked(*_: Any) -> None:
        raise sqlite3.OperationalError("database is locked")

    shutil.copytree(template, tmp_path / "home")
    monkeypatch.setattr("spsam.tracking.store.sqlite3.connect", locked)
    said: list[str] = []
    use_everything(Tracker(tmp_path / "home", said.append), tmp_path)
    assert len(said) == 1
    assert "database is locked" in said[0]


@pytest.mark.parametrize("password", ["s3cretPW", "s@c/r:et", "s%40c"])
def test_no_warning_shows_a_password(
    password: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"postgresql+nothing://al:{password}@127.0.0.1/x")
    said: list[str] = []
    use_everything(Tracker(tmp_path, said.append), tmp_path)
    assert len(said) == 1
    assert password not in said[0]
    assert "postgresql+nothing://al:***@127.0.0.1/x" in said[0]


def test_importing_the_module_imports_neither_mlflow_nor_torch() -> None:
    code = (
        "import sys, spsam.tracking.mlflow\n"
        "assert not {'mlflow', 'torch', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_processes_may_open_a_fresh_store_at_once(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from spsam.tracking.mlflow import Tracker\n"
        "tracker = Tracker(pathlib.Path(sys.argv[1]), sys.exit)\n"
        "tracker.open('study', 'key', {}); tracker.close('FINISHED')"
    )
    twins = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) for _ in range(2)]
    assert [twin.wait() for twin in twins] == [0, 0]
    assert len(runs(tmp_path, "key")[0]) == 1


ABOUT: dict[str, Any] = {
    "data": {
        "name": "acdc_*x*",
        "fingerprint": "0123456789abcdef",
        "split_name": "default",
        "split_hash": "fedcba98",
    },
    "preset": "cpu",
    "arms": [{"name": "S1", "run_ids": ["one"]}, {"name": "S2", "run_ids": ["two", "three"]}],
}
LINES: list[dict[str, Any]] = [
    {"arm": "S1", "dice": 50.0, "ci_low": 40.0, "ci_high": 60.0, "dice: RV": 50.0, "change": ""},
    {"arm": "S2", "dice": 62.5, "ci_low": 60.0, "ci_high": 65.0, "dice: RV": 70.0, "change": 12.5},
    {"arm": "S3", "dice": float("nan"), "dice: RV": float("nan")},
]


def test_a_study_shows_its_best_arm_its_data_and_links(home: Path) -> None:
    summary = summary_of(LINES, ABOUT)
    assert summary is not None
    for _ in range(2):  # what is recorded again is there once
        tracker = Tracker(home, pytest.fail)
        tracker.open("summary", "summary", {})
        tracker.begin("two", "S2 seed 0", tags={}, params={})
        tracker.finish("FINISHED", {"dice/mean": 0.625})
        tracker.close("FINISHED", summary=summary)
    (parent,), children = runs(home, "summary")
    metrics = parent.data.metrics
    assert metrics["dice/mean"] == pytest.approx(0.625)
    assert metrics["dice/ci_low"] == pytest.approx(0.6)
    assert metrics["dice/gain"] == pytest.approx(0.125)
    assert metrics["dice/RV"] == pytest.approx(0.7)
    assert parent.data.tags["best_arm"] == "S2"
    (used,) = parent.inputs.dataset_inputs
    assert (used.dataset.name, used.dataset.digest) == ("acdc_*x*", "0123456789abcdef")
    note = parent.data.tags["mlflow.note.content"]
    assert "Best arm: **S2**, mean Dice 62.50% [60.00, 65.00]" in note
    assert r"acdc\_\*x\*" in note
    # Its runs that are there, by their pages.
    assert f"[two](#/experiments/{parent.info.experiment_id}/runs/" in note
    assert children["two"].info.run_id in note
    assert "three" not in note
    assert "smoke" not in note


def test_a_table_read_from_a_file_gives_the_same_summary() -> None:
    text = [{key: str(value) for key, value in line.items()} for line in LINES]
    assert summary_of(text, ABOUT) == summary_of(LINES, ABOUT)
    assert summary_of(LINES[2:], ABOUT) is None
