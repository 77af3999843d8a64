"""Which cases a run reads, and when: nothing that is scored is ever trained on, or chosen by."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spsam.data.preparation.store import PreparedCase, PreparedStore
from spsam.engine.run import execute
from spsam.metrics.dice import dice_of_counts
from spsam.results.measures import read_measures
from spsam.results.panels import read_panels
from spsam.studies.backend import Backend
from spsam.studies.planning.planner import plan_ablation
from spsam.studies.planning.request import Request

from .networks import ARMS


def test_only_training_cases_train_and_only_test_cases_are_scored(
    tmp_path: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = {
        "train.epochs": 2,
        "train.iterations": 8,
        "train.generator_epochs": 1,
        # A volume in a few tiles.
        "patch.max_size": 128,
    }
    ablation = plan_ablation(
        Request(arms=[ARMS[0]], home=tmp_path, preset="smoke", overrides=overrides)
    )
    ((arm, run),) = ablation.runs
    split = replace(ablation.split, test=ablation.split.test[:4])
    store = Backend().prepare(ablation.dataset, arm.plan, prepared, lambda *_: None)
    stage, read, scored_so_far = ["train"], [], []
    original = PreparedStore.case

    def watched(self: PreparedStore, name: str) -> PreparedCase:
        read.append((stage[0], name))
        return original(self, name)

    def progress(name: str, done: float, total: int) -> None:
        if name == "train" and done == total:
            stage[0] = "evaluate"
        elif name == "evaluate":
            scored_so_far.append(done)

    monkeypatch.setattr(PreparedStore, "case", watched)
    run.folder.note(status="running")
    execute(
        replace(run, store=store, split=split, device="cpu"),
        on_epoch=lambda _: None,
        on_progress=progress,
        on_note=print,
    )
    trained = {name for when, name in read if when == "train"}
    scored = [name for when, name in read if when == "evaluate"]
    assert trained <= set(split.train)
    assert len(trained) > 5
    assert scored == list(split.test)
    # Progress by tiles: a single case may take minutes.
    assert scored_so_far == sorted(scored_so_far)
    assert {1, 2, 3, 4} <= set(scored_so_far)
    assert any(0 < done < 1 for done in scored_so_far)
    rows = run.folder.read_rows()
    assert {row.case for row in rows} == set(split.test)
    # What it leaves for reports agrees with its scores.
    measures, panels = read_measures(run.folder.measures), read_panels(run.folder.panels)
    assert measures.cases == tuple(split.test) == tuple(panel.case for panel in panels)
    whole = [measures.counts[measures.case == n].sum(axis=0) for n in range(len(split.test))]
    dice = dice_of_counts(*np.moveaxis(np.array(whole), -1, 0))
    told = [row.value for row in rows if row.metric == "dice"]
    np.testing.assert_array_equal(dice.ravel(), told)
    assert {row.class_id for row in rows if row.metric == "hd95"} == {1, 2, 3}
    cost = run.folder.read()["cost"]
    assert cost["gflops"] > 0
    assert cost["step_seconds"].keys() == {"generator", "joint"}
    assert cost["peak_memory_bytes"] > 1 << 27


def test_a_run_that_scores_nothing_ends_with_its_network(tmp_path: Path, prepared: Path) -> None:
    """The split `all`: a network for a leaderboard's cases, and no numbers of its own."""
    overrides = {"train.epochs": 1, "train.generator_epochs": 0, "patch.max_size": 128}
    request = Request([ARMS[0]], tmp_path, preset="smoke", split="all", overrides=overrides)
    ablation = plan_ablation(request)
    ((arm, run),) = ablation.runs
    assert set(run.split.train) == {case.id for case in ablation.dataset.cases}
    store = Backend().prepare(ablation.dataset, arm.plan, prepared, lambda *_: None)
    run.folder.note(status="running")
    quiet = {"on_epoch": lambda _: None, "on_progress": lambda *_: None, "on_note": print}
    execute(replace(run, store=store), **quiet)
    assert run.folder.read_rows() == []
    assert run.folder.checkpoint.is_file()
    assert run.folder.read()["cost"]["step_seconds"]["joint"] > 0
    assert not run.folder.predictions.exists()
