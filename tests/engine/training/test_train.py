"""The loop: two phases, the schedule, what a step moves, and picking up where it stopped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import Dataset

from spsam.config.schema import ArmConfig
from spsam.engine.checkpoint import load_trained_state, read_whole, trained_state
from spsam.engine.training.step import make_optimizer
from spsam.engine.training.train import Training, fit, learning_rate
from spsam.errors import InputError, SpsamError
from spsam.model.networks.self_prompt_sam import SelfPromptSAM
from spsam.registry.arms import load_arm

from ..networks import ARMS, small

SCHEDULE = {
    "train.epochs": 3,
    "train.iterations": 2,
    "train.generator_epochs": 1,
    "train.batch_size": 1,
    "train.checkpoint_every": 1,
    "train.precision": "fp32",
}


class Patches(Dataset):
    """Patches that depend on nothing but their number."""

    def __init__(self, length: int = 6) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        generator = torch.Generator().manual_seed(index)
        # Blocks as large as a token: the encoder sees nothing finer.
        blocks = torch.randint(0, 3, (3, 8, 8), generator=generator)
        label = blocks.repeat_interleave(8, 1).repeat_interleave(8, 2)
        image = label[None].float() + 0.1 * torch.randn(1, 3, 64, 64, generator=generator)
        return {"image": image, "label": label}


def training(folder: Path, network: SelfPromptSAM, arm: ArmConfig, **options: Any) -> Training:
    usual: dict[str, Any] = {
        "patches": Patches(arm.train.epochs * arm.train.iterations * arm.train.batch_size),
        "checkpoint": folder / "checkpoint.pt",
        "log": folder / "metrics.jsonl",
        "about": {},
    }
    return Training(network, arm=arm, **(usual | options))


class InterruptedRunError(Exception):
    pass


def train(folder: Path, name: str = ARMS[-1], stop_after: int | None = None) -> SelfPromptSAM:
    network = small(name)

    def on_epoch(metrics: dict[str, float]) -> None:
        if stop_after is not None and metrics["epoch"] + 1 == stop_after:
            raise InterruptedRunError

    fit(training(folder, network, load_arm(name, SCHEDULE), on_epoch=on_epoch))
    return network


def test_an_interrupted_run_ends_like_an_uninterrupted_one(tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    expected = trained_state(train(whole))
    for epoch in (1, 2):
        with pytest.raises(InterruptedRunError):
            train(parts, stop_after=epoch)
    got = trained_state(train(parts))
    assert all(torch.equal(expected[key], got[key]) for key in expected)
    logs = [
        [json.loads(line)["loss/total"] for line in (f / "metrics.jsonl").read_text().splitlines()]
        for f in (whole, parts)
    ]
    assert logs[0] == logs[1]
    assert len(logs[0]) == 3


def test_phases(tmp_path: Path) -> None:
    network = small(ARMS[-1])
    arm = load_arm(ARMS[-1], SCHEDULE)
    start = {key: value.clone() for key, value in trained_state(network).items()}
    seen: list[set[str]] = []

    def on_epoch(metrics: dict[str, float]) -> None:
        state = trained_state(network)
        seen.append({key.split(".")[0] for key in state if not torch.equal(state[key], start[key])})

    fit(training(tmp_path, network, arm, on_epoch=on_epoch))
    assert "mask_head" not in seen[0]
    assert "prompt_generator" in seen[0]
    assert "mask_head" in seen[1]
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert "loss/mask" not in lines[0]
    assert "loss/mask" in lines[1]
    assert lines[-1]["lr"] == pytest.approx(learning_rate(arm.train, 2))


def test_training_lowers_the_loss(tmp_path: Path) -> None:
    overrides = SCHEDULE | {
        "train.epochs": 15,
        "train.generator_epochs": 15,
        "train.optimizer.momentum": 0.9,
    }
    fit(training(tmp_path, small(ARMS[1]), load_arm(ARMS[1], overrides)))
    log = (tmp_path / "metrics.jsonl").read_text().splitlines()
    losses = [json.loads(line)["loss/total"] for line in log]
    assert losses[-1] < 0.8 * losses[0]


def test_schedules() -> None:
    poly = load_arm(ARMS[0]).train
    assert learning_rate(poly, 0) == poly.optimizer.lr
    assert learning_rate(poly, poly.epochs // 2) == pytest.approx(poly.optimizer.lr * 0.5**0.9)
    cosine = load_arm(ARMS[0], {"train.schedule": "cosine", "train.warmup_epochs": 4}).train
    rates = [learning_rate(cosine, epoch) for epoch in range(cosine.epochs)]
    assert rates[0] == pytest.approx(rates[3] / 4, rel=1e-3)
    assert rates[4:] == sorted(rates[4:], reverse=True)
    assert rates[cosine.epochs // 2] == pytest.approx(cosine.optimizer.lr / 2)
    constant = load_arm(ARMS[0], {"train.schedule": "constant"}).train
    assert {learning_rate(constant, epoch) for epoch in (0, 9, 999)} == {constant.optimizer.lr}


def test_the_optimiser_holds_the_added_blocks_and_nothing_else() -> None:
    network = small(ARMS[-1])
    for name in ("sgd", "adamw"):
        arm = load_arm(ARMS[-1], {"train.optimizer.name": name})
        held = {id(p) for g in make_optimizer(network, arm.train).param_groups for p in g["params"]}
        assert held == {id(p) for _, p in network.trained_parameters()}


def test_a_loss_that_is_no_number_ends_the_run_with_advice(tmp_path: Path) -> None:
    class Broken(Patches):
        def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
            patch = super().__getitem__(index)
            return patch | {"image": patch["image"] * float("nan")}

    with pytest.raises(SpsamError, match=r"the loss became nan.*train\.optimizer\.lr"):
        fit(training(tmp_path, small(ARMS[0]), load_arm(ARMS[0], SCHEDULE), patches=Broken()))
    # What was there before the first bad step is kept.
    kept = read_whole(tmp_path / "checkpoint.pt")
    assert kept["progress"]["steps"] == 0
    assert all(value.isfinite().all() for value in kept["blocks"].values())


def test_weights_of_another_arm_are_refused() -> None:
    with pytest.raises(InputError, match="another arm"):
        load_trained_state(small(ARMS[-1]), trained_state(small(ARMS[0])))


def test_a_gradient_that_is_no_number_ends_the_run_before_it_is_kept(tmp_path: Path) -> None:
    network = small(ARMS[0])
    first = next(iter(network.prompt_generator.parameters()))
    calls: list[int] = []

    def spoil(gradient: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return gradient * float("nan") if len(calls) == 4 else gradient

    first.register_hook(spoil)
    with pytest.raises(SpsamError, match="the gradient became nan"):
        fit(training(tmp_path, network, load_arm(ARMS[0], SCHEDULE)))
    kept = read_whole(tmp_path / "checkpoint.pt")
    assert kept["progress"]["steps"] == 2
    assert all(value.isfinite().all() for value in kept["blocks"].values())


def test_what_is_measured_after_an_epoch_stands_in_its_metrics(tmp_path: Path) -> None:
    heard: list[dict[str, float]] = []
    fit(
        training(
            tmp_path,
            small(ARMS[-1]),
            load_arm(ARMS[-1], SCHEDULE),
            measure=lambda epoch: {"dice/validation": epoch / 10} if epoch else {},
            on_epoch=heard.append,
        )
    )
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    for metrics in (heard, lines):
        assert [m.get("dice/validation") for m in metrics] == [None, 0.1, 0.2]
