from __future__ import annotations

import pytest
import torch

from spsam.engine.assemble import build_network
from spsam.engine.bench.bench import Sizes, bench
from spsam.engine.bench.parts import FORWARD, PARTS, TimedStep, in_turns
from spsam.engine.training.batches import random_batch
from spsam.engine.training.group import ProcessGroup
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
    stepper = Stepper(networks[1], arm.train, ProcessGroup())
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


def test_another_arm_is_measured_as_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[TimedStep] = []

    def spy(step: TimedStep, *rest: object) -> int:
        measured.append(step)
        return 1

    monkeypatch.setattr("spsam.engine.bench.bench.peak", spy)
    arm = load_arm("S9", RANDOM, preset="smoke")
    changed = {"blocks.prompt_generator.convs": 3, "train.checkpoint_activations": True}
    other = load_arm("S9", {**RANDOM, **changed}, preset="smoke")
    result = bench(arm, SIZES, device="cpu", repeats=1, against=other)
    assert list(result.against) == list(result.ratio) == ["S9"]
    own, another = measured
    assert [own.train, another.train] == [arm.train, other.train]
    assert not own.network.image_encoder.checkpointed
    assert another.network.image_encoder.checkpointed
    assert len(another.parameters) > len(own.parameters)


def test_arms_without_parts_and_arms_that_cannot_share_a_process_are_refused() -> None:
    arm = load_arm("S9", RANDOM, preset="smoke")
    with pytest.raises(InputError, match="expects the network self_prompt_sam"):
        bench(arm, SIZES, device="cpu", against=load_arm("unet2d", preset="smoke"))
    slow = load_arm("S9", {**RANDOM, "train.deterministic": True}, preset="smoke")
    with pytest.raises(InputError, match="measure both arms separately"):
        bench(arm, SIZES, device="cpu", against=slow)
