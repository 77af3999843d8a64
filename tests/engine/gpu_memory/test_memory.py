"""The plan for a GPU beside tensors that are really held, and beside a GPU's own types."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch

from spsam.config.schema import DataIdentity, RunConfig
from spsam.engine.assemble import network_for
from spsam.engine.gpu_memory.live_bytes import LiveBytes
from spsam.engine.gpu_memory.memory import gpu_memory
from spsam.engine.gpu_memory.ways import ways_on_gpu
from spsam.engine.predict import PRECISIONS
from spsam.engine.training.batches import random_batch
from spsam.engine.training.group import ProcessGroup
from spsam.engine.training.step import Stepper
from spsam.engine.training.train import execute_as
from spsam.registry.arms import load_arm
from tests.gpu.fake_gpu import fake_gpu, onto_gpu

CLASSES, PATCH = 3, (3, 64, 64)


def run_of(name: str, **train: Any) -> RunConfig:
    values = {f"train.{key}": value for key, value in train.items()}
    arm = load_arm(name, {"backbone.weights": "random", "train.batch_size": 2, **values})
    data = DataIdentity(
        name="noise",
        fingerprint="",
        split_name="none",
        split_hash="",
        num_classes=CLASSES,
        class_names=("a", "b", "c"),
        in_channels=1,
    )
    return RunConfig(arm=arm, preset="none", data=data)


def never(key: torch.Tensor, keys: int) -> bool:
    return False


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Callable[[RunConfig], int]:
    """The most bytes of tensors in a real step, by the code that a GPU runs."""
    # No mock, which would keep what it was called with.
    monkeypatch.setattr("spsam.model.sam.attention._in_blocks", never)
    monkeypatch.setattr("spsam.model.sam.attention.LARGE", 0)

    def step(config: RunConfig) -> int:
        live, train = LiveBytes(), config.arm.train
        network = network_for(config, PATCH, None).train()
        execute_as(train, network)
        live.count([*network.parameters(), *network.buffers()])
        batch = random_batch(train.batch_size, 1, PATCH, CLASSES)
        live.count(batch.values())  # type: ignore[arg-type]
        stepper = Stepper(network, train, ProcessGroup())
        take = partial(stepper, batch, 1e-6, decode=True)
        with live:
            take()
            stepper.optimizer.zero_grad(set_to_none=True)
            live.mark()
            take()
        return live.most

    return step


@pytest.mark.parametrize(
    ("name", "train"),
    [
        ("S9", {}),
        ("S9", {"checkpoint_activations": True}),
        ("S9", {"accumulate": 2}),
        ("S9", {"optimizer.name": "adamw", "optimizer.lr": 1e-3}),
        ("S2", {}),
        ("unet3d", {}),
        ("unet2d", {}),
    ],
)
def test_the_plan_is_what_a_step_holds(
    name: str, train: dict[str, Any], held: Callable[[RunConfig], int]
) -> None:
    config = run_of(name, **train)
    assert gpu_memory(config, PATCH).tensors == pytest.approx(held(config), rel=0.1)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("name", ["S9", "S1"])
def test_half_precision_keeps_what_torchs_own_autocast_keeps(name: str, precision: str) -> None:
    """Of a forward pass on a fake GPU, whose types and kernels are torch's own for CUDA."""
    config = run_of(name, precision=precision)
    plan = gpu_memory(config, PATCH)
    network = network_for(config, PATCH, None).train()
    execute_as(config.arm.train, network)
    live = LiveBytes()
    with fake_gpu():
        onto_gpu(network)
        live.count([*network.parameters(), *network.buffers()])
        image = torch.zeros(2, 1, *PATCH, device="cuda")
        with live, torch.autocast("cuda", PRECISIONS[precision]):
            before = live.now
            output = network(image)
        kept = live.now - before
    del output
    expected = plan.kept - plan.kept_by_part["loss"]
    # S1 keeps 2 MB in all, of which a cast of every weight is a part.
    assert expected == pytest.approx(kept, rel=0.1, abs=1e6)


@pytest.mark.slow
def test_ways_are_tried_until_one_fits() -> None:
    config = run_of("S9", precision="half")
    whole = ways_on_gpu(config, PATCH, 1, 1e12)
    assert [(way.accumulate, way.checkpoint_activations) for way in whole] == [(1, False)]
    assert whole[0].precision == "fp16"
    smaller = ways_on_gpu(config, PATCH, 1, whole[0].memory.peak - 1)
    assert len(smaller) > 1
    assert smaller[-1].fits
    assert not smaller[0].fits
    none = ways_on_gpu(config, PATCH, 1, 1e6)
    assert not any(way.fits for way in none)
    assert {way.accumulate for way in none} == {1, 2}


def test_two_gpus_share_a_batch() -> None:
    config = run_of("S9")
    one, two = (gpu_memory(config, PATCH, devices) for devices in (1, 2))
    assert two.kept < 0.6 * one.kept
    assert two.weights == one.weights


def test_bytes_are_counted_from_making_to_end() -> None:
    live = LiveBytes()
    with live:
        one = torch.zeros(1000)
        view = one[10:]
        other = one + 1
        assert live.now == 8000
        del one
        assert live.now == 8000
        del view
        assert live.now == 4000
        assert live.most == 8000
        del other
    assert live.now == 0
