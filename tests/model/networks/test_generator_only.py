from __future__ import annotations

import torch

from spsam.engine.assemble import build_network
from spsam.engine.training.loss import training_loss
from spsam.registry.arms import load_arm

SIZES = {"in_channels": 1, "num_classes": 3, "depth": 2, "image_size": 32}


def test_it_is_the_first_phase_of_s9_for_good() -> None:
    """The same blocks from the same seed, the same loss and the same gradients."""
    whole = load_arm("S9", preset="demo")
    alone = load_arm("generator_only", preset="demo")
    volume, labels = torch.randn(2, 1, 2, 32, 32), torch.randint(0, 3, (2, 2, 32, 32))
    found = {}
    for arm in (whole, alone):
        network = build_network(arm, seed=3, **SIZES)  # type: ignore[arg-type]
        terms = training_loss(network(volume, decode=False), labels, arm.train, "softmax")
        terms["total"].backward()
        found[arm.name] = {
            name: each.grad for name, each in network.trained_parameters() if each.grad is not None
        }
    assert found["generator_only"].keys() == found["S9"].keys()
    for name, gradient in found["generator_only"].items():
        torch.testing.assert_close(gradient, found["S9"][name])


def test_nothing_of_the_decoder_is_counted() -> None:
    whole, alone = (
        build_network(load_arm(name, preset="demo"), **SIZES).parameter_groups()  # type: ignore[arg-type]
        for name in ("S9", "generator_only")
    )
    assert alone["prompt_generator"] == whole["prompt_generator"]
    assert alone["adapter"] < whole["adapter"]
    assert alone["depth_pos_embed"] < whole["depth_pos_embed"]
    assert "mask_head" not in alone
