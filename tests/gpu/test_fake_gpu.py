"""Device faults that need no device: every arm and component on a GPU that is not there."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorDeviceMismatchError,
)

from spsam.engine.predict import PRECISIONS
from spsam.engine.training.loss import Objective, training_loss
from spsam.engine.training.train import execute_as
from spsam.model.networks.base import Output
from spsam.model.prompts.base import Prompt
from spsam.registry.arms import load_arm
from tests.gpu.fake_gpu import CopyError, fake_gpu, on_gpu, onto_gpu
from tests.gpu.networks import arms, other_networks, sample, whole_network
from tests.model.components import Sizes, build, components, inputs, run

HALF = ("bf16", "fp16")
FAULTS = (
    CopyError,
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorDeviceMismatchError,
)


def forward(name: str, precision: str, plant: Callable[[nn.Module], None] | None = None) -> Any:
    """Forward pass, prompts and losses of an arm; devices of all that came out."""
    train = load_arm(name, {"train.precision": precision}).train
    network = whole_network(name).train()
    execute_as(train, network)
    if plant:
        plant(network)
    with fake_gpu():
        onto_gpu(network)
        batch = sample("cuda")
        with torch.autocast("cuda", PRECISIONS[precision]):
            output = network(batch["image"])
        loss = training_loss(output, batch["label"], train, network.mask_head.activation)
        prompts = output.prompts
        made = [*loss.values(), output.logits, *output.auxiliary]
        if prompts is not None:
            made += [part for part in vars(prompts).values() if part is not None]
        return {part.device.type for part in made}


@pytest.mark.parametrize("precision", HALF)
@pytest.mark.parametrize("name", arms())
def test_no_arm_mixes_devices_or_waits(name: str, precision: str) -> None:
    assert forward(name, precision) == {"cuda"}


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_a_loss_with_ignored_voxels_and_regions_waits_for_nothing(activation: Any) -> None:
    train = load_arm("S9", {}).train
    objective = Objective(ignores=True, regions=((1, 2), (2,)))
    with fake_gpu():
        logits = torch.randn(2, 3, 2, 8, 8, device="cuda")
        labels = torch.full((2, 2, 8, 8), -1, device="cuda")
        output = Output(logits, [logits], None)
        loss = training_loss(output, labels, train, activation, objective=objective)
        assert {part.device.type for part in loss.values()} == {"cuda"}


def reaches_for_the_host(slot: str, component: type) -> bool:
    """Prompts whose rule is of arrays alone, which their slot allows and their page says."""
    return slot == "prompt" and component.points_on_device is Prompt.points_on_device  # type: ignore[attr-defined]


@pytest.mark.parametrize("precision", HALF)
@pytest.mark.parametrize(("slot", "component"), components())
def test_no_component_mixes_devices_or_waits(slot: str, component: type, precision: str) -> None:
    module, given = build(slot, component, Sizes()), inputs(slot, Sizes())
    sizes = [_shapes(each) for each in given]
    with fake_gpu():
        onto_gpu(module)
        arguments = [_made(each) for each in sizes]
        with torch.autocast("cuda", PRECISIONS[precision]):
            if reaches_for_the_host(slot, component):
                with pytest.raises(FAULTS):
                    run(slot, module, arguments)
                return
            made = run(slot, module, arguments)
        assert {part.device.type for part in made} == {"cuda"}


def _shapes(value: Any) -> Any:
    if isinstance(value, Tensor):
        return torch.Size(value.shape)
    return [_shapes(each) for each in value] if isinstance(value, list) else value


def _made(value: Any) -> Any:
    if isinstance(value, torch.Size):
        return on_gpu(*value)
    return [_made(each) for each in value] if isinstance(value, list) else value


def planted(fault: Callable[[Tensor], object]) -> Callable[[nn.Module], None]:
    """Plants what a careless line would do into the mask head."""

    def hook(module: nn.Module, given: tuple[Tensor]) -> None:
        fault(given[0])

    def plant(network: Any) -> None:
        network.mask_head.register_forward_pre_hook(hook)

    return plant


@pytest.mark.parametrize(
    "fault",
    [
        lambda masks: masks.sum().item(),
        lambda masks: bool((masks > 0).any()),
        lambda masks: masks[masks > 0],
        lambda masks: masks.nonzero(),
        lambda masks: masks.cpu(),
        lambda masks: masks.to("cpu", non_blocking=True),
        lambda masks: masks.tolist(),
        lambda masks: masks + torch.zeros(masks.shape),
        lambda masks: masks * torch.ones(masks.shape[-1]),
        lambda masks: torch.tensor([1.0, 2.0], device="cuda"),
    ],
    ids=["item", "bool", "mask", "nonzero", "cpu", "to", "list", "tensor", "vector", "from-host"],
)
def test_a_planted_fault_is_caught(fault: Callable[[Tensor], object]) -> None:
    with pytest.raises(FAULTS):
        forward("S1", "bf16", planted(fault))


def test_what_is_planted_is_the_fault() -> None:
    """The same hook without a fault passes, so that the test above is about the fault."""
    assert forward("S1", "bf16", planted(lambda masks: masks + 1)) == {"cuda"}


def steps(*arguments: str) -> list[dict[str, Any]]:
    """Whole steps of training, in a process of their own."""
    command = [sys.executable, "-m", "tests.gpu.backend", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def check_steps(told: list[dict[str, Any]], count: int) -> None:
    assert len(told) == count
    for each in told:
        assert each["error"] is None, each["error"]
        assert each["devices"] == ["faked:0"]
        assert each["gradients"] > 0


@pytest.mark.slow
def test_a_step_of_the_papers_arm_never_waits() -> None:
    """Backward pass, scaler, clipping and optimiser, in the paper's precision and pieces."""
    check_steps(steps("S9", "--precisions", "fp16"), 1)


@pytest.mark.slow
def test_a_step_of_the_papers_arm_never_waits_in_other_precisions() -> None:
    check_steps(steps("S9", "--precisions", "fp32", "bf16"), 2)


@pytest.mark.slow
@pytest.mark.parametrize("name", other_networks())
def test_no_step_of_any_network_waits(name: str) -> None:
    """In fp16, which has a scaler more than bf16."""
    check_steps(steps(name, "--precisions", "fp16"), 1)


@pytest.mark.slow
def test_a_step_with_adamw_and_checkpointed_blocks_never_waits() -> None:
    values = ["train.optimizer.name=adamw", "train.checkpoint_activations=true"]
    check_steps(steps("S9", "--precisions", "bf16", "--set", *values), 1)


def test_a_fault_in_a_step_is_seen() -> None:
    """A scaler that asks the GPU whether to step, as torch's does for an optimiser not fused."""
    (told,) = steps("S1", "--precisions", "fp16", "--not-fused")
    assert "DataDependentOutputException" in told["error"]
