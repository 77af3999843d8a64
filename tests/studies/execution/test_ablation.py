from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import spsam.studies.execution.ablation
from spsam.config.yaml_file import read_yaml
from spsam.engine.run_spec import RunSpec
from spsam.errors import InputError
from spsam.model.sam.backbones import BACKBONES
from spsam.reporting.page.facts import study_facts
from spsam.reporting.study_reader import read_study
from spsam.reporting.tables.study import StudyResults
from spsam.results.run_folder import RunFolder
from spsam.studies.execution.ablation import run_ablation
from spsam.studies.planning.plan import Ablation
from tests.studies.conftest import Planner
from tests.studies.fakes import FakeBackend, Recorder, read_json, score


class Book:
    """Stands for MLflow, which costs seconds a test; `test_tracked` uses the real one."""

    def __init__(self, *_: Any) -> None:
        self.runs: dict[str, dict[str, Any]] = {}
        self.study: dict[str, Any] = {}
        self.now: dict[str, Any] = {}

    def open(self, name: str, key: str, tags: dict[str, str]) -> None:
        self.study = {"name": name, "tags": tags}

    def recorded(self, run_id: str) -> bool:
        return self.runs.get(run_id, {}).get("ending") == "FINISHED"

    def begin(self, run_id: str, name: str, *, tags: Any, params: Any, group: str) -> None:
        self.now = self.runs.setdefault(run_id, {"name": name, "epochs": []})
        self.now |= {"tags": tags, "params": params, "group": group}

    def epoch(self, *epochs: dict[str, float]) -> None:
        for metrics in epochs:
            if metrics["epoch"] not in self.now["epochs"]:
                self.now["epochs"].append(metrics["epoch"])

    def finish(self, ending: str, scores: Any = None, files: Any = ()) -> None:
        self.now |= {"ending": ending, "scores": scores, "files": [p.name for p in files]}

    def close(self, ending: str, files: Any = (), groups: Any = None, summary: Any = None) -> None:
        self.study |= {
            "ending": ending,
            "files": [path.name for path in files],
            "groups": groups,
            "summary": summary,
        }


@pytest.fixture
def book(monkeypatch: pytest.MonkeyPatch) -> Book:
    kept = Book()
    monkeypatch.setattr(spsam.studies.execution.ablation, "Tracker", lambda *_: kept)
    return kept


def folders(ablation: Ablation) -> dict[str, RunFolder]:
    return {arm.arm.name: run.folder for arm, run in ablation.runs}


class Official(FakeBackend):
    """Every file of weights is SAM ViT-B's published one."""

    def file_sha256(self, path: Path) -> str:
        return str(BACKBONES["sam_vit_b"].sha256)


@pytest.mark.parametrize(
    ("engine", "said"),
    [(Official, "official (sha-256 matches)"), (FakeBackend, "not an official file (sha-256 ")],
)
def test_weights_are_part_of_every_results_provenance(
    engine: type[FakeBackend], said: str, plan: Planner, book: Book, tmp_path: Path
) -> None:
    file = tmp_path / "sam_vit_b_01ec64.pth"
    file.write_bytes(b"weights")
    values = {"backbone.name": "sam_vit_b"}
    backend = engine()
    ablation = plan("S1", "unet3d", backend=backend, checkpoint=file, overrides=values)
    outcome = run_ablation(ablation, Recorder(), backend)
    about = read_json(ablation.folder / "ablation.json")["arms"]
    assert said in about[0]["weights"]["origin"]
    assert about[1]["weights"] is None
    folder = folders(ablation)["S1"]
    recorded = folder.read()["weights"]
    assert (recorded["backbone"], recorded["file"]) == ("sam_vit_b", file.name)
    assert said in recorded["origin"]
    assert f"SAM's weights: sam_vit_b, {said}" in outcome.table.caption
    assert said in book.runs[folder.run_id]["tags"]["sam_weights"]
    measured = read_study(ablation.folder)
    facts = [value for name, value in study_facts(measured) if name == "SAM's weights"]
    assert len(facts) == 1
    assert said in facts[0]
    provenance = StudyResults(measured).runs()
    assert said in provenance[folder.run_id]["weights"]
    assert provenance[folders(ablation)["unet3d"].run_id]["weights"] is None


def test_everything_is_run_recorded_and_tabled(plan: Planner, book: Book) -> None:
    ablation, backend, watch = plan("S1..S3"), FakeBackend(), Recorder()
    outcome = run_ablation(ablation, watch, backend)

    assert backend.executed == ["S1", "S2", "S3"]
    assert list(outcome.table.frame()["dice"]) == pytest.approx(
        [100 * score(f"S{n}", 0) for n in (1, 2, 3)]
    )
    assert list(outcome.table.frame()["change"])[1:] == pytest.approx([5, 5])
    assert outcome.failed == []
    assert [path.name for path in outcome.files] == ["table.md", "table.csv", "table.tex"]
    assert all(path.is_file() for path in outcome.files)
    assert read_json(ablation.folder / "ablation.json")["arms"][2]["name"] == "S3"

    folder = folders(ablation)["S2"]
    record = folder.read()
    assert record["status"] == "finished"
    assert record["trained_parameters"] == 110
    assert record["seconds"] >= 0
    assert record["environment"]["packages"]["numpy"]
    config = read_yaml(folder.config).data
    assert config["arm"]["name"] == "S2"
    assert config["data"]["fingerprint"] == "0123456789abcdef"

    run = book.runs[folder.run_id]
    assert run["ending"] == "FINISHED"
    assert run["epochs"] == [0, 1]
    assert run["scores"]["dice/mean"] == pytest.approx(0.6)
    assert run["scores"]["dice/left"] == pytest.approx(0.6)
    assert run["params"]["arm.train.optimizer.lr"] == 0.01
    assert run["tags"]["data_fingerprint"] == "0123456789abcdef"
    assert run["files"] == ["config.yaml", "run.json", "preview.png"]
    assert run["group"] == "S2"
    assert book.study["ending"] == "FINISHED"
    assert book.study["groups"]["S2"]["dice/mean"] == pytest.approx(0.6)


def test_a_finished_run_is_not_run_again(plan: Planner, book: Book) -> None:
    run_ablation(plan("S1", "S2"), backend=FakeBackend())
    ablation, backend, watch = plan("S1..S3"), FakeBackend(), Recorder()
    outcome = run_ablation(ablation, watch, backend)
    assert backend.executed == ["S3"]
    assert watch.endings() == {"S1": "skipped", "S2": "skipped", "S3": "finished"}
    assert not outcome.table.frame()["dice"].isna().any()


def test_finished_runs_are_told_first_and_not_counted_into_the_time(
    plan: Planner, book: Book
) -> None:
    run_ablation(plan("S1", "S3"), backend=FakeBackend())
    ablation, watch = plan("S1..S3"), Recorder()
    run_ablation(ablation, watch, FakeBackend())
    assert [(arm, ending) for arm, _, ending, _ in watch.ends] == [
        ("S1", "skipped"),
        ("S3", "skipped"),
        ("S2", "finished"),
    ]


def test_a_finished_run_is_recorded_where_it_is_missing(plan: Planner, book: Book) -> None:
    ablation = plan("S1")
    run_ablation(ablation, backend=FakeBackend())
    book.runs.clear()  # as if MLflow had been away
    run_ablation(ablation, backend=FakeBackend())
    (run,) = book.runs.values()
    assert run["ending"] == "FINISHED"
    assert run["epochs"] == [0, 1]
    assert run["scores"]["dice/mean"] == pytest.approx(0.55)


def test_a_failure_leaves_a_hole_and_the_others_go_on(plan: Planner, book: Book) -> None:
    def fail(arm: str, epoch: int) -> None:
        if arm == "S2":
            raise RuntimeError("out of memory")

    ablation, watch = plan("S1..S3"), Recorder()
    outcome = run_ablation(ablation, watch, FakeBackend(fail))
    folder = folders(ablation)["S2"]
    assert outcome.failed == [folder]
    assert watch.endings() == {"S1": "finished", "S2": "failed", "S3": "finished"}
    assert "RuntimeError: out of memory" in watch.ends[1][3]
    assert folder.status == "failed"
    assert "out of memory" in folder.error.read_text()
    assert "Traceback" in folder.error.read_text()
    assert list(outcome.table.frame()["state"]) == ["finished", "failed", "finished"]
    assert "failed" in outcome.files[0].read_text()
    assert book.runs[folder.run_id]["ending"] == "FAILED"
    assert book.study["ending"] == "FAILED"

    # The hole stays until failed runs are asked for.
    idle, watch = FakeBackend(), Recorder()
    assert run_ablation(ablation, watch, idle).failed == [folder]
    assert idle.executed == []
    assert "--retry-failed" in {arm: said for arm, _, _, said in watch.ends}["S2"]

    # Then it is tried again, from its checkpoint, and the trace of the failure goes.
    again, watch = FakeBackend(), Recorder()
    outcome = run_ablation(ablation, watch, again, retry_failed=True)
    assert again.executed == ["S2"]
    assert watch.begun == [("S2", 0, True)]
    assert outcome.failed == []
    assert not folder.error.exists()


def test_a_run_without_scores_failed(plan: Planner, book: Book) -> None:
    class Silent(FakeBackend):
        def execute(self, run, *, on_epoch, on_progress):  # type: ignore[no-untyped-def]
            pass

    ablation = plan("S1")
    assert run_ablation(ablation, backend=Silent()).failed == list(folders(ablation).values())


def test_an_interrupted_study_goes_on_where_it_stopped(plan: Planner, book: Book) -> None:
    def stop(arm: str, epoch: int) -> None:
        if arm == "S2" and epoch == 0:
            raise KeyboardInterrupt

    ablation = plan("S1..S3")
    with pytest.raises(KeyboardInterrupt):
        run_ablation(ablation, backend=FakeBackend(stop))
    assert folders(ablation)["S2"].status == "running"
    assert book.study["ending"] == "KILLED"
    assert (ablation.folder / "table.md").is_file()  # what is there so far

    backend, watch = FakeBackend(), Recorder()
    outcome = run_ablation(ablation, watch, backend)
    assert backend.executed == ["S2", "S3"]
    assert watch.begun == [("S2", 0, True), ("S3", 0, False)]
    assert watch.epochs == [1, 0, 1]  # S2's first epoch is not run twice
    assert not outcome.table.frame()["dice"].isna().any()


def test_a_run_in_other_hands_is_waited_for_and_not_run_twice(plan: Planner, book: Book) -> None:
    held, let_go = threading.Event(), threading.Event()

    class Patient(Recorder):
        def say(self, text: str) -> None:
            super().say(text)
            if "waiting" in text:
                let_go.set()

    def twin(run: RunSpec) -> None:
        with run.folder.lock():
            held.set()
            assert let_go.wait(30)
            FakeBackend().execute(
                run, on_epoch=lambda _: None, on_progress=lambda *_: None, on_note=print
            )
            run.folder.note(status="finished")

    ablation, backend, watch = plan("S1", "S2"), FakeBackend(), Patient()
    elsewhere = FakeBackend()
    run_ablation(plan("S1", home=Path("elsewhere")), backend=elsewhere)
    same = replace(elsewhere.runs[0], folder=folders(ablation)["S1"])
    same.folder.note(status="running")
    thread = threading.Thread(target=twin, args=[same])
    thread.start()
    assert held.wait(30)
    outcome = run_ablation(ablation, watch, backend)
    thread.join()
    assert backend.executed == ["S2"]
    assert [(arm, ending) for arm, _, ending, _ in watch.ends] == [
        ("S2", "finished"),
        ("S1", "skipped"),
    ]
    assert not outcome.table.frame()["dice"].isna().any()


def test_spread_over_seeds(plan: Planner, book: Book) -> None:
    outcome = run_ablation(plan("S1", "S2", seeds=(0, 1)), backend=FakeBackend())
    assert list(outcome.table.frame()["std"]) == pytest.approx([100 * 0.01 / 2**0.5] * 2)
    assert "n=2" in outcome.table.caption


def test_data_is_prepared_once_for_arms_that_share_a_plan(plan: Planner, book: Book) -> None:
    backend = FakeBackend()
    run_ablation(plan("S1..S3"), backend=backend)
    assert backend.prepared == 1


def test_wrong_weights_are_refused_before_anything_is_written(
    plan: Planner, book: Book, tmp_path: Path
) -> None:
    (tmp_path / "a.pth").write_text("1")
    backend = FakeBackend()
    backend.bad_weights = True
    with pytest.raises(InputError, match="another model"):
        run_ablation(plan("S1", checkpoint=Path("a.pth")), backend=backend)
    assert [path.name for path in tmp_path.iterdir()] == ["a.pth"]


def test_a_damaged_record_is_said_and_left_alone(plan: Planner, book: Book) -> None:
    ablation = plan("S1", "S2")
    run_ablation(ablation, backend=FakeBackend())
    record = folders(ablation)["S1"].record
    record.write_text("{")
    backend, watch = FakeBackend(), Recorder()
    outcome = run_ablation(ablation, watch, backend)
    assert backend.executed == []
    assert watch.endings() == {"S1": "failed", "S2": "skipped"}
    assert record.read_text() == "{"
    assert list(outcome.table.frame()["state"]) == ["failed", "finished"]


def test_workers_come_from_the_request_or_the_arm(plan: Planner, book: Book) -> None:
    backend = FakeBackend()
    run_ablation(plan("S1", overrides={"train.workers": 2}), backend=backend)
    run_ablation(plan("S2", overrides={"train.workers": 2}, workers=0), backend=backend)
    assert [run.workers for run in backend.runs] == [2, 0]


def test_tracked(plan: Planner, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow.tracking import MlflowClient

    from spsam.tracking.mlflow import store

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    ablation, watch = plan("S1", "S2"), Recorder()
    assert run_ablation(ablation, watch, FakeBackend()).tracked
    assert run_ablation(ablation, watch, FakeBackend()).tracked
    assert watch.warned == []
    client = MlflowClient(tracking_uri=store(ablation.request.home))
    experiment = client.get_experiment_by_name("spsam")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    by_name = {run.info.run_name: run for run in runs}
    assert set(by_name) == {ablation.name, "S1", "S2", "S1 seed 0", "S2 seed 0"}
    assert len(runs) == 5
    assert by_name["S2"].data.metrics["dice/mean"] == pytest.approx(0.6)
    above = by_name["S2 seed 0"].data.tags["mlflow.parentRunId"]
    assert above == by_name["S2"].info.run_id
    study = by_name[ablation.name].info.run_id
    assert by_name["S2"].data.tags["mlflow.parentRunId"] == study
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert by_name["S2 seed 0"].data.metrics["dice/mean"] == pytest.approx(0.6)
    kept = client.list_artifacts(by_name["S2 seed 0"].info.run_id)
    assert {file.path for file in kept} == {"config.yaml", "preview.png", "run.json"}
