from __future__ import annotations

import pytest

from spsam.config.schema import DataIdentity, RunConfig
from spsam.engine.training import estimate as module
from spsam.engine.training.estimate import estimate
from spsam.registry.arms import load_arm

RATE = 1e9


@pytest.fixture(autouse=True)
def _rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_operations_a_second", lambda: RATE / module._EFFICIENCY)


def run(arm: str, preset: str = "cpu", **changes: object) -> RunConfig:
    data = DataIdentity(
        name="d",
        fingerprint="f",
        split_name="s",
        split_hash="h",
        num_classes=4,
        class_names=("background", "a", "b", "c"),
        in_channels=1,
    )
    overrides = {key.replace("__", "."): value for key, value in changes.items()}
    return RunConfig(arm=load_arm(arm, overrides, preset=preset), preset=preset, data=data)


@pytest.mark.parametrize("name", ["S9", "unet3d"])
def test_an_estimate_grows_with_what_is_computed(name: str) -> None:
    small, large = (estimate(run(name), (2, side, side)) for side in (32, 64))
    assert 0 < small.generator_step <= small.joint_step
    assert small.peak < large.peak
    assert 2 * small.joint_step < large.joint_step < 8 * small.joint_step
    # 600 steps, a fifth of them in the first phase.
    assert small.seconds == pytest.approx(120 * small.generator_step + 480 * small.joint_step)


def test_operations_are_those_of_a_step() -> None:
    """Against the counter on real tensors, where prompts are taken and blocks of queries attend."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from spsam.engine.assemble import network_for
    from spsam.engine.training.loss import training_loss

    config, patch = run("S9", train__batch_size=1), (2, 64, 64)
    network = network_for(config, patch, None).train()
    with FlopCounterMode(display=False) as counter:
        output = network(torch.randn(1, 1, *patch))
        labels = torch.randint(0, 4, (1, *patch))
        training_loss(output, labels, config.arm.train, "softmax")["total"].backward()
    assert estimate(config, patch).joint_step * RATE == pytest.approx(
        counter.get_total_flops(), rel=0.1
    )


def test_pieces_take_less_memory_and_as_many_operations() -> None:
    whole, pieces = (estimate(run("S3", train__accumulate=count), (2, 64, 64)) for count in (1, 2))
    assert pieces.peak - module._LIBRARIES < 0.8 * (whole.peak - module._LIBRARIES)
    assert pieces.joint_step == pytest.approx(whole.joint_step, rel=0.05)


def test_recomputed_blocks_hold_one_block_at_a_time() -> None:
    """Recomputation saves the memory of all blocks of the encoder but one."""
    kept, twice = (
        estimate(run("S3", train__checkpoint_activations=each), (4, 128, 128)).peak
        for each in (False, True)
    )
    held, blocks = _blocks_kept()
    saved = module._PASSING * held * (1 - 1 / blocks)
    assert kept - twice == pytest.approx(saved, rel=0.01)


def _blocks_kept() -> tuple[int, int]:
    """Bytes that all blocks keep, measured without an estimate, and number of blocks."""
    import torch

    from spsam.engine.assemble import network_for

    with torch.device("meta"):
        network = network_for(run("S3"), (4, 128, 128), None).train()
        image = torch.empty(2, 1, 4, 128, 128)
        with module._kept(network) as whole:
            network.encode_slices(network.input_adapter(image))  # type: ignore[operator]
        network.recompute(True)
        with module._kept(network) as rest:
            network.encode_slices(network.input_adapter(image))  # type: ignore[operator]
    blocks = len(network.image_encoder.blocks)  # type: ignore[arg-type, union-attr]
    return sum(whole.values()) - sum(rest.values()), blocks
