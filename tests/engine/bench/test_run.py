from __future__ import annotations

import pytest
import torch

from spsam.engine.assemble import build_network
from spsam.engine.bench.parts import FORWARD, PARTS, TimedStep, in_turns
from spsam.engine.bench.run import Sizes, bench
from spsam.engine.training.batches import random_batch
from spsam.engine.training.group import Group
from spsam.engine.training.step import Stepper
from spsam.errors import InputError
from spsam.registry.arms import load_arm

RANDOM = {"backbone.weights": "random"}
SIZES = Sizes(batch=1, channels=1, classes=3, patch=(2, 32, 32))


def test_a_timed_step_is_a_training_step() -> None:
    arm = load_arm("S9", RANDOM, preset="smoke")
    batch = random_batch(SIZES.batch, SIZES.channels, SIZES.patch, SIZES.classes)
    networks = [
        build_network(arm, in_channels=1, num_classes=3, depth=2, image_size=32) for _ in range(2)
    ]
    timed = TimedStep(networks[0], arm.train, batch)
    seconds = timed()
    stepper = Stepper(networks[1], arm.train, Group())
    stepper(batch, arm.train.optimizer.lr, decode=True)
    assert tuple(seconds) == PARTS
    assert all(value >= 0 for value in seconds.values())
    for (name, one), (_, two) in zip(*(n.trained_parameters() for n in networks), strict=True):
        torch.testing.assert_close(one, two, msg=name)


def test_the_report_adds_up() -> None:
    result = bench(
        load_arm("S9", RANDOM, preset="smoke"), SIZES, device="cpu", repeats=1, against="official"
    )
    own, other = result.own, result.against["official"]
    assert own.step == pytest.approx(sum(own.parts.values()), rel=0.01)
    assert result.ratio["official"]["step"] == pytest.approx(own.step / other.step, abs=0.01)
    assert result.ratio["official"]["encoder"] == pytest.approx(
        own.parts["encoder"] / other.parts["encoder"], abs=0.01
    )
    assert own.inference > 0
    counts = {k: v for k, v in result.parameters.items() if k not in {"trained", "total"}}
    assert sum(counts.values()) == result.parameters["trained"] < result.parameters["total"]
    assert result.trained_from == "input_adapter"
    assert result.gigaflops > 0
    assert set(FORWARD) < set(own.parts)


def test_ways_take_turns_after_a_round_that_does_not_count() -> None:
    calls: list[str] = []
    ways = {name: lambda name=name: calls.append(name) or len(calls) for name in "ab"}
    assert in_turns(ways, 2) == {"a": [3, 5], "b": [4, 6]}
    assert calls == list("ababab")


def test_another_rival_is_refused() -> None:
    with pytest.raises(InputError, match="expected one of official"):
        bench(load_arm("S9", RANDOM, preset="smoke"), SIZES, device="cpu", against="nnunet")
