"""Scores of validation cases while a run trains, and the weights that they choose."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from spsam.data.preparation.store import PreparedCase, PreparedStore
from spsam.engine.checkpoint import load_trained_state, read_whole, trained_state
from spsam.engine.recipe import read_recipe
from spsam.engine.run import execute
from spsam.engine.run_spec import RunSpec
from spsam.engine.training.run_training import network_of
from spsam.engine.training.validate import validation_dice
from spsam.results.run_folder import VALIDATION_DICE
from spsam.studies.backend import Backend
from spsam.studies.planning.planner import plan_ablation
from spsam.studies.planning.request import Request

from ..networks import ARMS

# Two whole runs on the phantom.
pytestmark = pytest.mark.slow

SHORT = {
    "train.epochs": 4,
    "train.iterations": 2,
    "train.generator_epochs": 1,
    "train.checkpoint_every": 1,
    "inference.mirror": False,
    "inference.step": 1.0,
    # A volume in a few tiles, and few volumes (below): scoring takes most of the time.
    "patch.max_size": 128,
}
QUIET: dict[str, Any] = {
    "on_epoch": lambda _: None,
    "on_progress": lambda *_: None,
    "on_note": print,
}


def planned(home: Path, prepared: Path, devices: int = 1, **overrides: Any) -> RunSpec:
    """A run on the phantom, whose split has validation cases, with its data prepared."""
    values = {**SHORT, **{f"train.{key}": value for key, value in overrides.items()}}
    ablation = plan_ablation(
        Request([ARMS[-1]], home, preset="smoke", overrides=values, devices=devices)
    )
    ((arm, run),) = ablation.runs
    store = Backend().prepare(ablation.dataset, arm.plan, prepared, lambda *_: None)
    run.folder.note(status="running")
    split = replace(run.split, val=run.split.val[:3], test=run.split.test[:2])
    return replace(run, store=store, split=split, device="cpu")


@pytest.fixture(scope="module")
def best(tmp_path_factory: pytest.TempPathFactory, prepared: Path) -> RunSpec:
    """A finished run whose weights validation cases chose."""
    run = planned(tmp_path_factory.mktemp("best"), prepared, validate_every=1, checkpoint="best")
    execute(run, **QUIET)
    return run


def test_scores_change_no_bit_of_what_is_learnt_and_no_test_case_is_read(
    tmp_path: Path, prepared: Path, best: RunSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = planned(tmp_path, prepared)
    read: list[str] = []
    original = PreparedStore.case

    def watched(self: PreparedStore, name: str) -> PreparedCase:
        read.append(name)
        return original(self, name)

    execute(plain, **QUIET)
    states = [read_whole(run.folder.checkpoint) for run in (plain, best)]
    for key, value in states[0]["blocks"].items():
        assert torch.equal(value, states[1]["blocks"][key]), key
    assert torch.equal(states[0]["random"]["torch"], states[1]["random"]["torch"])
    assert states[0]["random"]["numpy"] == states[1]["random"]["numpy"]
    assert not any(VALIDATION_DICE in epoch for epoch in plain.folder.read_metrics())
    monkeypatch.setattr(PreparedStore, "case", watched)
    network = network_of(best, torch.device("cpu"))
    cases = [best.dataset.case(name) for name in best.split.val]
    validation_dice(network, best.prepared, cases, best.config)
    assert read == list(best.split.val)


def test_a_score_leaves_generators_and_mode_as_they_are(best: RunSpec) -> None:
    network = network_of(best, torch.device("cpu"))
    cases = [best.dataset.case(name) for name in best.split.val[:1]]

    class Careless(torch.nn.Module):
        def forward(self, *given: Any) -> None:
            torch.rand(3)
            np.random.rand(3)

    network.register_forward_hook(lambda *_: Careless()())
    for training in (True, False):
        network.train(training)
        before = torch.get_rng_state(), np.random.get_state()[1].tolist()
        validation_dice(network, best.prepared, cases, best.config)
        after = torch.get_rng_state(), np.random.get_state()[1].tolist()
        assert torch.equal(before[0], after[0])
        assert before[1] == after[1]
        assert network.training is training


def test_the_best_weights_are_scored_recorded_and_handed_on(best: RunSpec) -> None:
    curve = {
        int(epoch["epoch"]): epoch[VALIDATION_DICE]
        for epoch in best.folder.read_metrics()
        if VALIDATION_DICE in epoch
    }
    assert list(curve) == [1, 2, 3]
    highest = max(curve, key=lambda epoch: (curve[epoch], epoch))
    assert best.folder.read()["best"] == {"epoch": highest, "dice": curve[highest], "of": 3}
    recipe = read_recipe(best.folder.checkpoint)
    assert recipe.best_epoch == highest
    # The weights that are handed on score what was noted of that epoch.
    network = network_of(best, torch.device("cpu"))
    load_trained_state(network, recipe.blocks)
    cases = [best.dataset.case(name) for name in best.split.val]
    assert validation_dice(network, best.prepared, cases, best.config) == curve[highest]
    assert trained_state(network).keys() == recipe.blocks.keys()


def test_several_processes_choose_by_the_scores_of_the_first(
    tmp_path: Path, prepared: Path
) -> None:
    """The first process alone has scores; the weights are those of all."""
    values: dict[str, Any] = {"batch_size": 2, "validate_every": 1, "checkpoint": "best"}
    run = planned(tmp_path, prepared, 2, **values)
    execute(run, **QUIET)
    told, logged = run.folder.read()["best"], run.folder.read_metrics()
    assert told["epoch"] in (1, 2, 3)
    assert told["dice"] == logged[told["epoch"]][VALIDATION_DICE]
    state = read_whole(run.folder.checkpoint)
    assert state["best"]["dice"] == max(epoch.get(VALIDATION_DICE, 0) for epoch in logged)
    assert {row.case for row in run.folder.read_rows()} == set(run.split.test)
