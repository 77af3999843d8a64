"""What holds for every network; a new card is tested without being asked for."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from spsam.config.schema import ArmConfig
from spsam.engine.assemble import build_network, network_size
from spsam.engine.checkpoint import load_trained_state, trained_state
from spsam.engine.training.loss import training_loss
from spsam.model.networks.base import Network, Output
from spsam.registry.arms import load_arm
from tests.model.components import PLUGIN, components, plugin_folder

# Published sizes are too large to be run in every test.
SMALL: dict[str, dict[str, Any]] = {
    "unetr": {"feature_size": 4, "hidden_size": 24, "mlp_dim": 32, "num_heads": 2},
    "swin_unetr": {"feature_size": 12},
    "segresnet": {"filters": 8},
}

NAMES = [str(each.id).removeprefix("network-") for each in components("network")]

every_network = pytest.mark.parametrize("name", NAMES)

# M, K, (D, H, W): neither a multiple of what networks halve by, nor square.
SIZES = [(1, 3, (2, 32, 32)), (2, 2, (3, 40, 24)), (1, 4, (9, 17, 33))]


@lru_cache
def arm_of(name: str) -> ArmConfig:
    plain = name.removesuffix("-tutorial")
    network = {"name": plain, **SMALL.get(plain, {})}
    named = plain != name or PLUGIN in os.environ
    plugins: list[Path] = [plugin_folder()] if named else []
    return load_arm(
        "S9", {"network": network, "backbone.weights": "random"}, preset="demo", plugins=plugins
    )


def built(
    name: str,
    channels: int = 2,
    classes: int = 3,
    patch: tuple[int, int, int] = (3, 40, 24),
    *,
    seed: int = 0,
    noise: float = 0.0,
) -> Network:
    network = build_network(
        arm_of(name),
        in_channels=channels,
        num_classes=classes,
        depth=patch[0],
        image_size=patch[1:],
        spacing=(4.0, 1.0, 1.0),
        seed=seed,
    )
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _, parameter in network.trained_parameters():
            parameter += noise * torch.randn(parameter.shape, generator=generator)
    return network


def volume(batch: int = 2, channels: int = 2, patch: tuple[int, ...] = (3, 40, 24)) -> Tensor:
    return torch.randn(batch, channels, *patch, generator=torch.Generator().manual_seed(1))


def logits_of(output: Output) -> Tensor:
    assert output.logits is not None
    return output.logits


@every_network
@pytest.mark.parametrize(("channels", "classes", "patch"), SIZES)
@torch.no_grad()
def test_logits_of_the_patch_whatever_its_size(
    name: str, channels: int, classes: int, patch: tuple[int, int, int]
) -> None:
    network = built(name, channels, classes, patch)
    for training in (False, True):
        output = network.train(training)(volume(1, channels, patch))
        assert tuple(logits_of(output).shape) == (1, classes, *patch)
        assert torch.isfinite(logits_of(output)).all()
        if not training and not output.auxiliary and name != "generator_only":
            assert output.deeper == []
        sizes = [x.shape[2:].numel() for x in output.deeper]
        assert sizes == sorted(sizes, reverse=True)
        assert all(x.shape[:2] == (1, classes) for x in output.deeper)
    with pytest.raises(ValueError, match="expected a volume"):
        network(volume(1, channels, (patch[0], patch[1] + 1, patch[2])))


@every_network
def test_gradients_reach_whatever_trains_and_nothing_else(name: str) -> None:
    network = built(name, noise=0.02)
    assert network.unaccounted() == []
    frozen = [each for module in network.frozen() for each in module.parameters()]
    assert not any(each.requires_grad for each in frozen)
    assert not any(module.training for module in network.frozen())
    labels = torch.randint(0, 3, (2, 3, 40, 24), generator=torch.Generator().manual_seed(2))
    train = arm_of(name).train
    training_loss(network(volume()), labels, train, network.mask_head.activation)[
        "total"
    ].backward()
    silent = [
        key
        for key, each in network.trained_parameters()
        if each.requires_grad and each.grad is None
    ]
    assert silent == []
    assert all(each.grad is None for each in frozen)


@every_network
def test_counted_without_being_built(name: str) -> None:
    network = built(name)
    size = network_size(
        arm_of(name), in_channels=2, num_classes=3, patch=(3, 40, 24), spacing=(4.0, 1.0, 1.0)
    )
    assert size.blocks == network.parameter_groups()
    assert size.trained == sum(size.blocks.values()) > 0
    assert size.total == sum(each.numel() for each in network.parameters())


@every_network
@torch.no_grad()
def test_its_state_goes_round_and_its_start_is_its_seeds(name: str) -> None:
    one, other = built(name, seed=1), built(name, seed=2)
    same = trained_state(built(name, seed=1))
    assert all(torch.equal(value, same[key]) for key, value in trained_state(one).items())
    assert any(not torch.equal(v, same[key]) for key, v in trained_state(other).items())
    load_trained_state(other, trained_state(one))
    first, second = (logits_of(each.eval()(volume())) for each in (one, other))
    torch.testing.assert_close(first, second, rtol=0, atol=0)


@every_network
@torch.no_grad()
def test_volumes_of_a_batch_do_not_see_each_other(name: str) -> None:
    network = built(name).eval()
    both = volume(2)
    whole, part = logits_of(network(both)), logits_of(network(both[:1]))
    torch.testing.assert_close(whole[:1], part, rtol=1e-3, atol=1e-4)


@every_network
def test_bf16_autocast_trains(name: str) -> None:
    network = built(name)
    with torch.autocast("cpu", torch.bfloat16):
        output = network(volume())
    labels = torch.zeros(2, 3, 40, 24, dtype=torch.long)
    terms = training_loss(output, labels, arm_of(name).train, network.mask_head.activation)
    terms["total"].backward()
    grads = [each.grad for _, each in network.trained_parameters() if each.grad is not None]
    assert grads
    assert all(torch.isfinite(each).all() for each in grads)
