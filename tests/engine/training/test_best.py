"""The weights that validation cases choose: `train.checkpoint: best`."""

from __future__ import annotations

import math
import multiprocessing
import os
import random
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spsam.engine.checkpoint import read_whole, result_of, trained_state
from spsam.engine.training.best import BestWeights, better
from spsam.engine.training.train import fit
from spsam.errors import SpsamError
from spsam.registry.arms import load_arm
from spsam.results.run_folder import VALIDATION_DICE

from ..networks import ARMS, small
from .test_resume import SIZE, Drawing, posix
from .test_train import training

BEST = {
    "train.epochs": 5,
    "train.iterations": 2,
    "train.generator_epochs": 1,
    "train.batch_size": 1,
    "train.checkpoint_every": 2,
    "train.checkpoint_minutes": None,
    "train.validate_every": 1,
    "train.checkpoint": "best",
}
# Of the epochs 1 to 4: the best is the second of two equal ones, and not the last.
CURVE = {1: 0.25, 2: 0.5, 3: 0.5, 4: 0.25}

State = dict[str, torch.Tensor]


def run(
    folder: Path, seen: dict[int, State] | None = None, **options: Any
) -> tuple[State, BestWeights | None]:
    """The network's weights after a training, and what was chosen; `seen` gets every epoch's."""
    random.seed(3)
    torch.manual_seed(3)
    network = small(ARMS[-1], image_size=SIZE)

    def measure(epoch: int) -> dict[str, float]:
        if seen is not None:
            seen[epoch] = {key: each.clone() for key, each in trained_state(network).items()}
        return {VALIDATION_DICE: CURVE[epoch]} if epoch in CURVE else {}

    usual: dict[str, Any] = {"patches": Drawing(10), "measure": measure}
    arm = load_arm(ARMS[-1], BEST | options.pop("overrides", {}))
    best = fit(training(folder, network, arm, **(usual | options)))
    return {key: each.clone() for key, each in trained_state(network).items()}, best


def equal(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


class Weight(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.value = torch.nn.Parameter(torch.zeros(1))

    def blocks(self) -> dict[str, torch.nn.Module]:
        return {"block": self}


@given(st.lists(st.sampled_from([None, math.nan, 0.0, 0.25, 0.5, 1.0]), max_size=12))
def test_the_best_is_the_last_of_the_highest(curve: list[float | None]) -> None:
    network: Any = Weight()
    best: BestWeights | None = None
    for epoch, dice in enumerate(curve):
        with torch.no_grad():
            network.value.fill_(epoch)
        metrics = {"epoch": epoch} | ({} if dice is None else {VALIDATION_DICE: dice})
        best = better(best, metrics, network)
    scored = [
        (dice, n) for n, dice in enumerate(curve) if dice is not None and not math.isnan(dice)
    ]
    if not scored:
        assert best is None
        return
    assert best is not None
    assert (best.dice, best.epoch) == max(scored)
    # A copy: the network trains on.
    assert best.blocks["block.value"].item() == best.epoch


def test_the_network_ends_with_the_best_weights_and_the_checkpoint_has_both(
    tmp_path: Path,
) -> None:
    seen: dict[int, State] = {}
    weights, best = run(tmp_path, seen)
    assert best is not None
    assert (best.epoch, best.dice) == (3, 0.5)
    assert equal(weights, seen[3])
    state = read_whole(tmp_path / "checkpoint.pt")
    assert equal(state["blocks"], seen[4])
    assert equal(result_of(state), seen[3])
    assert not equal(seen[3], seen[4])
    # Who finds the work done gets the same.
    again, found = run(tmp_path)
    assert equal(again, weights)
    assert found is not None
    assert found.epoch == 3


def test_choosing_changes_nothing_that_is_trained(tmp_path: Path) -> None:
    for name in ("best", "last"):
        (tmp_path / name).mkdir()
        run(tmp_path / name, overrides={"train.checkpoint": name})
    states = [read_whole(tmp_path / name / "checkpoint.pt") for name in ("best", "last")]
    assert equal(*(state["blocks"] for state in states))
    assert "best" not in states[1]
    assert equal(result_of(states[1]), states[1]["blocks"])


@pytest.mark.slow
@posix
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_killed_after_any_step_it_chooses_the_same_weights(tmp_path: Path) -> None:
    expected, parts = tmp_path / "whole", tmp_path / "parts"
    expected.mkdir()
    parts.mkdir()
    weights, _ = run(expected)
    context = multiprocessing.get_context("fork")
    for step in (3, 5, 7, 8, 9, 10):

        def kill(done: int, total: int, at: int = step) -> None:
            if done == at:
                os.kill(os.getpid(), signal.SIGKILL)

        child = context.Process(target=run, args=(parts,), kwargs={"on_step": kill})
        child.start()
        child.join()
        assert child.exitcode == -signal.SIGKILL
    got, best = run(parts)
    assert best is not None
    assert (best.epoch, best.dice) == (3, 0.5)
    assert equal(got, weights)
    ours, theirs = (read_whole(each / "checkpoint.pt") for each in (parts, expected))
    assert equal(ours["best"]["blocks"], theirs["best"]["blocks"])
    assert equal(ours["blocks"], theirs["blocks"])


def test_no_score_at_all_is_an_error_with_advice(tmp_path: Path) -> None:
    with pytest.raises(SpsamError, match=r"no validation had a Dice score; choose another"):
        run(tmp_path, measure=lambda epoch: {VALIDATION_DICE: math.nan})
