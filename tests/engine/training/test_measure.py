"""What a run will take, and how it is made to fit."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from spsam.config.schema import RunConfig
from spsam.engine.training import measure as module
from spsam.engine.training.estimate import Estimate
from spsam.engine.training.measure import STEPS, Cost, fit_memory, measure
from spsam.errors import InputError
from spsam.studies.planning.planner import plan_ablation
from spsam.studies.planning.request import Request

PATCH = (2, 32, 32)
ESTIMATE = Estimate(0, 100, 0.1, 0.1, 1.0)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    home = tmp_path_factory.mktemp("home")
    overrides = {"train.batch_size": 4, "backbone.weights": "random"}
    request = Request(arms=["S9"], home=home, preset="smoke", overrides=overrides)
    return plan_ablation(request).arms[0].runs[0].config


def test_memory_and_time_are_told(config: RunConfig) -> None:
    cost = measure(config, PATCH, "cpu")
    assert cost is not None
    assert cost.steps == STEPS
    # SAM's tiny one has about 4.5 million parameters of four bytes, the blocks 1.5 million.
    assert 20e6 < cost.weights < 30e6
    # sgd: a gradient and a momentum for each trained one.
    assert cost.training == pytest.approx(2 * 4 * 1_474_706, rel=0.02)
    assert cost.activations > 1e6
    train = config.arm.train
    steps = train.generator_epochs * train.iterations
    rest = train.epochs * train.iterations - steps
    expected = steps * cost.generator_step + rest * cost.joint_step
    assert cost.seconds == pytest.approx(expected, abs=0.06)


@pytest.mark.slow
def test_what_is_kept_shrinks_with_pieces_and_with_blocks_computed_twice(config: RunConfig) -> None:
    kept: dict[Any, int] = {}
    for accumulate, twice in ((1, False), (2, False), (1, True)):
        cost = measure(module.changed(config, accumulate, twice), PATCH, "cpu")
        assert cost is not None
        kept[accumulate, twice] = cost.activations
    assert kept[1, True] < 0.9 * kept[1, False]
    # Counted over all pieces of a step; at a time there is one.
    assert kept[2, False] <= 1.05 * kept[1, False]


def test_memory_that_does_not_suffice_is_told_and_nothing_dies(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_AS)
    monkeypatch.setattr(module, "_free", lambda device: 1_000_000)
    assert measure(config, (2, 512, 512), "cpu") is None
    assert resource.getrlimit(resource.RLIMIT_AS) == before


@pytest.mark.parametrize(
    ("batch_dice", "limit", "chosen"),
    [
        (False, 100, (1, False)),
        (False, 80, (2, False)),
        (False, 45, (4, False)),
        (False, 30, (4, True)),
        # Pieces then cost a pass more than blocks computed twice.
        (True, 100, (1, False)),
        (True, 80, (1, True)),
        (True, 60, (2, False)),
        (True, 30, (4, True)),
    ],
)
def test_the_fastest_way_that_fits_is_taken(
    batch_dice: bool,
    limit: int,
    chosen: tuple[int, bool],
    config: RunConfig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stored = config.model_dump(mode="json")
    stored["arm"]["train"]["loss"]["batch_dice"] = batch_dice
    config = RunConfig.model_validate_json(json.dumps(stored))
    peaks = {(1, False): 90, (1, True): 70, (2, False): 55, (2, True): 50, (4, False): 40}

    def measured(changed: RunConfig, *_: object) -> Cost:
        train = changed.arm.train
        peak = peaks.get((train.accumulate, train.checkpoint_activations), 25)
        return Cost(1, 1, 1, peak, 200, 0.1, 0.2, 3, 1.0)

    monkeypatch.setattr(module, "measure", measured)
    monkeypatch.setattr(module, "estimate", lambda *_: replace(ESTIMATE, peak=0))
    found = fit_memory(config, PATCH, "cpu", limit=limit)
    assert (found.accumulate, found.checkpoint_activations) == chosen
    with pytest.raises(InputError, match=r"--fit: one patch at a time.*smaller patch"):
        fit_memory(config, PATCH, "cpu", limit=10)


def test_steps_that_cannot_fit_are_not_executed(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a CPU, such steps take minutes, and the system could kill the process."""
    measured: list[tuple[int, bool]] = []

    def way(changed: RunConfig) -> tuple[int, bool]:
        return changed.arm.train.accumulate, changed.arm.train.checkpoint_activations

    def planned(changed: RunConfig, *_: object) -> Estimate:
        return replace(ESTIMATE, peak=10 if way(changed) == (4, True) else 90)

    def steps(changed: RunConfig, *_: object) -> Cost:
        measured.append(way(changed))
        return Cost(1, 1, 1, 20, 200, 0.1, 0.2, 3, 1.0)

    monkeypatch.setattr(module, "estimate", planned)
    monkeypatch.setattr(module, "measure", steps)
    found = fit_memory(config, PATCH, "cpu", limit=50)
    assert [(found.accumulate, found.checkpoint_activations)] == measured == [(4, True)]
    monkeypatch.setattr(module, "estimate", lambda *_: replace(ESTIMATE, peak=90_000_000_000))
    with pytest.raises(InputError, match=r"requires about 90\.0 GB"):
        fit_memory(config, PATCH, "cpu")
    assert len(measured) == 1


@pytest.mark.slow
def test_devices_have_their_share_to_fit(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def measured(changed: RunConfig, *_: object) -> None:
        seen.append(changed.arm.train.accumulate)

    monkeypatch.setattr(module, "measure", measured)
    with pytest.raises(InputError, match="more memory than available"):
        fit_memory(config, PATCH, "cpu", devices=2)
    assert sorted(set(seen)) == [1, 2]
