"""A batch in pieces, blocks computed twice, other precisions: what changes a step and what not."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from spsam.engine.checkpoint import trained_state
from spsam.engine.training.group import ProcessGroup
from spsam.engine.training.step import Stepper, make_optimizer, make_sgd
from spsam.engine.training.train import execute_as
from spsam.registry.arms import load_arm

from ..networks import ARMS, small
from .test_train import Patches

BATCH: Any = {
    key: torch.stack([Patches()[index][key] for index in range(4)]) for key in ("image", "label")
}


def steps(
    count: int = 2, name: str = ARMS[-1], arm: Any = None, **train: Any
) -> tuple[Any, dict[str, Any]]:
    """Losses of some steps on one batch of four patches, and the trained weights."""
    overrides = {"train.batch_size": 4} | {f"train.{key}": value for key, value in train.items()}
    network = small(name, arm, noise=0.05).train()
    config = load_arm(name, overrides).train
    execute_as(config, network)
    stepper = Stepper(network, config, ProcessGroup())
    losses = [
        {key: float(value) for key, value in stepper(BATCH, 0.01, decode=True).items()}
        for _ in range(count)
    ]
    return losses, trained_state(network)


@pytest.fixture(scope="module")
def whole() -> tuple[Any, dict[str, Any]]:
    return steps()


@pytest.fixture(scope="module")
def whole_over_the_batch() -> tuple[Any, dict[str, Any]]:
    return steps(**{"loss.batch_dice": True})


@pytest.mark.parametrize("pieces", [2, 4])
@pytest.mark.parametrize("batch_dice", [False, True])
def test_pieces_of_a_batch_give_its_losses_and_its_step(
    pieces: int, batch_dice: bool, request: pytest.FixtureRequest
) -> None:
    whole = request.getfixturevalue("whole_over_the_batch" if batch_dice else "whole")
    losses, weights = steps(accumulate=pieces, **{"loss.batch_dice": batch_dice})
    for number, (got, expected) in enumerate(zip(losses, whole[0], strict=True)):
        # The rounding of a step is in the next gradient, and may flip a pixel of a mask prompt.
        assert got.pop("gradient") == pytest.approx(expected["gradient"], rel=2e-3)
        close = 1e-3 if number else 1e-5
        assert got == pytest.approx({k: expected[k] for k in got}, rel=close)
    for key, value in weights.items():
        torch.testing.assert_close(value, whole[1][key], rtol=1e-2, atol=1e-4)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_block_learns_at_its_own_multiple_of_the_rate(optimizer: str) -> None:
    """Without momentum, or at the first step of two means, a step is as long as its rate."""
    options = {"optimizer.name": optimizer, "optimizer.momentum": 0.0, "optimizer.nesterov": False}
    options["optimizer.weight_decay"] = 0.0
    before = trained_state(small(ARMS[-1], noise=0.05))
    _, plain = steps(1, **options)
    choice = {"blocks.input_adapter.lr_mult": 0.25}
    _, slow = steps(1, arm=choice, **options)
    for key, start in before.items():
        share = 0.25 if key.startswith("input_adapter") else 1.0
        torch.testing.assert_close(slow[key] - start, share * (plain[key] - start))


def test_losses_of_the_pieces_alone_would_be_others(whole_over_the_batch: Any) -> None:
    """Dice over a batch is not the mean of its patches' Dice: the test above can fail."""
    network = small(ARMS[-1], noise=0.05).train()
    train = load_arm(ARMS[-1], {"train.loss.batch_dice": True}).train
    stepper = Stepper(network, train, ProcessGroup())
    alone = []
    for index in range(4):
        piece: Any = {key: value[index : index + 1] for key, value in BATCH.items()}
        stepper.train = stepper.train.model_copy(update={"clip_norm": None})
        stepper.scaler.step = lambda optimizer: None  # type: ignore[method-assign]
        alone.append(float(stepper(piece, 0.0, decode=True)["total"]))
    assert abs(sum(alone) / 4 - whole_over_the_batch[0][0]["total"]) > 1e-4


@pytest.mark.parametrize(("batch_dice", "passes"), [(False, 2), (True, 4)])
def test_only_dice_over_the_batch_costs_pieces_a_first_pass(batch_dice: bool, passes: int) -> None:
    network = small(ARMS[0]).train()
    values = {"batch_size": 4, "accumulate": 2, "loss.batch_dice": batch_dice}
    overrides = {f"train.{key}": value for key, value in values.items()}
    calls: list[Any] = []
    network.register_forward_hook(lambda *_: calls.append(None))
    Stepper(network, load_arm(ARMS[0], overrides).train, ProcessGroup())(BATCH, 0.0, decode=False)
    assert len(calls) == passes


def test_blocks_computed_twice_give_the_same_bits_and_keep_less(whole: Any) -> None:
    losses, weights = steps(checkpoint_activations=True)
    assert losses == whole[0]
    assert all(torch.equal(weights[key], whole[1][key]) for key in weights)

    kept = []
    for checkpointed in (False, True):
        network = small(ARMS[-1])
        network.image_encoder.checkpointed = checkpointed
        sizes: dict[int, int] = {}

        def pack(tensor: torch.Tensor, sizes: dict[int, int] = sizes) -> torch.Tensor:
            sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            network.encode(BATCH["image"])
        kept.append(sum(sizes.values()))
    assert kept[1] < 0.8 * kept[0]


def test_bf16_loses_little(whole: Any) -> None:
    # One step: on a processor without bf16 torch's way back through a 3D convolution may be NaN.
    losses, _ = steps(1, precision="bf16")
    assert losses[0]["total"] == pytest.approx(whole[0][0]["total"], rel=0.01)
    assert losses[0]["total"] != whole[0][0]["total"]


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_parameters_may_begin_in_the_second_phase(optimizer: str) -> None:
    """The decoder's have no momentum yet when the generator's have."""
    network = small(ARMS[-1], noise=0.05).train()
    stepper = Stepper(
        network, load_arm(ARMS[-1], {"train.optimizer.name": optimizer}).train, ProcessGroup()
    )
    before = copy.deepcopy(trained_state(network))
    stepper(BATCH, 0.01, decode=False)
    first = copy.deepcopy(trained_state(network))
    stepper(BATCH, 0.01, decode=True)
    moved = {
        key.partition(".")[0]
        for key, value in trained_state(network).items()
        if torch.equal(before[key], first[key]) and not torch.equal(first[key], value)
    }
    assert "mask_head" in moved


@pytest.mark.parametrize(("optimizer", "fused"), [("sgd", False), ("adamw", True)])
def test_only_adamw_is_fused(optimizer: str, fused: bool) -> None:
    """As decision 24 has it: torch's fused SGD fails in the test above."""
    train = load_arm(ARMS[0], {"train.optimizer.name": optimizer}).train
    assert bool(make_optimizer(small(ARMS[0]), train).defaults.get("fused")) is fused


def test_fp16_takes_a_step_with_its_scaled_loss() -> None:
    # The arm without 3D convolutions in its generator: in fp16 those take a processor minutes.
    (fp32,), first = steps(1, ARMS[0])
    (fp16,), second = steps(1, ARMS[0], precision="fp16")
    assert fp16["total"] == pytest.approx(fp32["total"], rel=0.01)
    for key, value in second.items():
        torch.testing.assert_close(value, first[key], rtol=0.05, atol=1e-3)


def test_the_scaled_loss_of_fp16_leaves_out_a_step_with_infinite_gradients() -> None:
    network = small(ARMS[0]).train()
    stepper = Stepper(network, load_arm(ARMS[0], {"train.precision": "fp16"}).train, ProcessGroup())
    scale = stepper.scaler.get_scale()
    before = {key: value.clone() for key, value in trained_state(network).items()}
    next(iter(network.prompt_generator.parameters())).register_hook(lambda g: g * float("inf"))
    stepper(BATCH, 0.01, decode=False)
    after = trained_state(network)
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert stepper.scaler.get_scale() < scale


def test_compiled_parts_give_the_same_losses(whole: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # The compiler itself takes a minute; what it is given is traced here, and run as it is.
    original = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda m: original(m, backend="eager"))
    losses, weights = steps(compile=True)
    for got, expected in zip(losses, whole[0], strict=True):
        assert got == pytest.approx(expected, rel=1e-5)
    assert weights.keys() == whole[1].keys()


def test_deterministic_operations_are_all_there_are_on_a_processor(whole: Any) -> None:
    try:
        assert steps(deterministic=True)[0] == whole[0]
    finally:
        torch.use_deterministic_algorithms(False)


def test_no_component_mixes_patches_or_draws(whole: Any) -> None:
    """Batch norm would make pieces another computation, dropout would make their passes differ."""
    for name in ARMS:
        for module in small(name).modules():
            assert not isinstance(module, torch.nn.modules.batchnorm._NormBase) or isinstance(
                module, torch.nn.modules.instancenorm._InstanceNorm
            )
            assert not (isinstance(module, torch.nn.Dropout) and module.p > 0)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("decode", [False, True])
def test_a_step_never_waits_for_the_gpu(decode: bool, precision: str) -> None:
    network = small(ARMS[-1], noise=0.05).to("cuda").train()
    config = load_arm(ARMS[-1], {"train.batch_size": 4, "train.precision": precision}).train
    execute_as(config, network)
    stepper = Stepper(network, config, ProcessGroup())
    batch: Any = {key: value.to("cuda") for key, value in BATCH.items()}
    stepper(batch, 0.01, decode=decode)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        stepper(batch, 0.01, decode=decode)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("name", ["S1", "S2"])
@pytest.mark.parametrize(("form", "learns"), [("binary", 0), ("logits", 1), ("log_odds", 1)])
def test_where_nothing_trains_behind_the_prompts_the_mask_prompt_decides(
    name: str, form: str, learns: int
) -> None:
    """Whether the final masks' loss reaches the generator: exactly zero with the paper's masks."""
    overrides = {"blocks.prompt.mask": form, "train.loss.generator": 0.0}
    network = small(name, {"blocks.prompt.mask": form}, noise=0.05).train()
    stepper = Stepper(network, load_arm(name, overrides).train, ProcessGroup())
    norm = float(stepper(BATCH, 0.0, decode=True)["gradient"])
    assert (norm > 1e-3) == bool(learns), norm
    assert learns or norm == 0


def test_fused_sgd_steps_as_the_cpus_own() -> None:
    """As on a GPU: through both phases, from a checkpoint in which the decoder has no momentum."""
    results = []
    for fused in (False, True):
        network = small(ARMS[-1], noise=0.05).train()
        train = load_arm(ARMS[-1], {"train.optimizer.momentum": 0.9}).train
        stepper = Stepper(network, train, ProcessGroup())
        stepper(BATCH, 0.01, decode=False)
        if fused:
            state = stepper.optimizer.state_dict()
            own = stepper.optimizer.param_groups
            groups = [{key: group[key] for key in ("params", "lr_mult")} for group in own]
            assert any(not stepper.optimizer.state.get(each) for each in stepper.parameters)
            stepper.optimizer = make_sgd(groups, train.optimizer, fused=True)
            stepper.optimizer.load_state_dict(state)
            for group in stepper.optimizer.param_groups:
                group["fused"] = True
        for _ in range(3):
            stepper(BATCH, 0.01, decode=True)
        results.append([parameter.detach().clone() for parameter in stepper.parameters])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
