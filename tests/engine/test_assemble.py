"""Every shipped arm, built: what it computes at first, what it trains, where it mixes slices."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spsam.engine.assemble import build_network, network_size
from spsam.errors import InputError
from spsam.model.networks.self_prompt_sam import SelfPromptSAM
from spsam.model.prompts.base import Prompts
from spsam.registry.arms import load_arm

from .networks import ARMS, mixes_depth, small

every_arm = pytest.mark.parametrize("name", ARMS)


def encode(network: SelfPromptSAM, slices: torch.Tensor) -> list[torch.Tensor]:
    taps, neck = network.image_encoder(
        slices, depth=network.depth, adapters=network.adapter, depth_pos=network.depth_pos_embed
    )
    return [*taps, neck]


def decode(network: SelfPromptSAM, embedding: torch.Tensor, prompts: Prompts) -> torch.Tensor:
    masks: torch.Tensor = network.mask_decoder(
        embedding,
        prompts,
        depth=network.depth,
        adapters=network.adapter,
        depth_pos=network.depth_pos_embed,
    )
    return masks


def some_prompts(network: SelfPromptSAM, classes: int = 3) -> Prompts:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(1, classes, network.depth, *network.image_size, generator=generator)
    prompts: Prompts = network.prompt(
        logits, network.image_encoder.image_size, network.mask_decoder.mask_size
    )
    return prompts


@every_arm
@torch.no_grad()
def test_a_fresh_arm_computes_plain_sam(name: str) -> None:
    plain, network = small(ARMS[0]), small(name)
    assert not any("adapter" in key for key, _ in plain.adapter.named_parameters())
    slices = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    expected, got = encode(plain, slices), encode(network, slices)
    for one, other in zip(expected, got, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
    prompts = some_prompts(network)
    torch.testing.assert_close(
        decode(plain, expected[-1], prompts),
        decode(network, got[-1], prompts),
        rtol=1e-4,
        atol=1e-5,
    )


@every_arm
def test_only_added_blocks_train(name: str) -> None:
    network = small(name).train()
    trained = {key for key, p in network.named_parameters() if p.requires_grad}
    assert trained == {key for key, _ in network.trained_parameters()}
    assert not any(key.startswith(("image_encoder.", "mask_decoder.")) for key in trained)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    optimizer = torch.optim.SGD([p for _, p in network.trained_parameters()], lr=0.1)
    output = network(torch.randn(1, 1, 3, 64, 64))
    assert output.logits is not None
    (output.logits.square().mean() + sum(a.square().mean() for a in output.auxiliary)).backward()
    optimizer.step()
    changed = {k for k, v in network.state_dict().items() if not torch.equal(v, before[k])}
    assert changed <= trained
    without_gradient = {k for k, p in network.trained_parameters() if p.grad is None}
    assert not without_gradient
    assert not network.image_encoder.training
    assert not network.mask_decoder.training


@every_arm
@torch.no_grad()
def test_slices_are_mixed_exactly_where_the_arm_says(name: str) -> None:
    network = small(name, noise=0.05)
    slices = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    changed = slices.clone()
    changed[2] += torch.randn(3, 64, 64, generator=torch.Generator().manual_seed(1))
    before, after = encode(network, slices), encode(network, changed)
    for one, other in zip(before, after, strict=True):
        assert not torch.allclose(one[2], other[2])
        assert torch.equal(one[0], other[0]) != mixes_depth(name)
    prompts = some_prompts(network)
    embedding = before[-1]
    moved = embedding.clone()
    moved[2] += 1
    one, other = decode(network, embedding, prompts), decode(network, moved, prompts)
    assert not torch.allclose(one[2], other[2])
    assert torch.equal(one[0], other[0]) != mixes_depth(name)


@pytest.mark.parametrize("name", [n for n in ARMS if not mixes_depth(n)])
@torch.no_grad()
def test_without_depth_blocks_a_volume_is_its_slices(name: str) -> None:
    volume, single = small(name, noise=0.05), small(name, noise=0.05, depth=1)
    slices = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    for one, other in zip(encode(volume, slices), encode(single, slices), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@every_arm
@torch.no_grad()
def test_depth_one_is_the_2d_model(name: str) -> None:
    """One-slice volumes do not see each other, whatever the arm, and the whole road runs."""
    network = small(name, noise=0.02, depth=1)
    volume = torch.randn(2, 1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    together = network(volume)
    apart = [network(volume[b : b + 1]) for b in range(2)]
    for b in range(2):
        for one, other in zip(together.auxiliary, apart[b].auxiliary, strict=True):
            torch.testing.assert_close(one[b : b + 1], other, rtol=1e-3, atol=1e-4)
    assert together.logits.shape == (2, 3, 1, 64, 64)


@pytest.mark.parametrize("name", ARMS[1:])
@torch.no_grad()
def test_blocks_that_two_arms_share_start_from_the_same_weights(name: str) -> None:
    network = small(name)
    parent = load_arm(name).parent
    assert parent is not None
    other = small(parent)
    arm, base = load_arm(name), load_arm(parent)
    for slot, block in network.blocks().items():
        if getattr(arm.blocks, slot) == getattr(base.blocks, slot):
            mine, theirs = block.state_dict(), other.blocks()[slot].state_dict()
            assert mine.keys() == theirs.keys()
            assert all(torch.equal(mine[key], theirs[key]) for key in mine)


@torch.no_grad()
def test_seed_moves_the_blocks_and_leaves_sam() -> None:
    one, other = small(ARMS[-1], seed=0), small(ARMS[-1], seed=1)
    for frozen, same in zip(one.frozen(), other.frozen(), strict=True):
        for a, b in zip(frozen.parameters(), same.parameters(), strict=True):
            assert torch.equal(a, b)
    weights = [
        torch.cat([p.flatten() for _, p in network.trained_parameters()])
        for network in (one, other)
    ]
    assert not torch.equal(*weights)


@every_arm
def test_first_phase_never_runs_the_decoder(name: str) -> None:
    network = small(name).train()
    calls: list[str] = []
    network.mask_decoder.register_forward_hook(lambda *_: calls.append("decoder"))
    network.prompt.register_forward_hook(lambda *_: calls.append("prompt"))
    output = network(torch.randn(1, 1, 3, 64, 64), decode=False)
    assert output.logits is None
    assert calls == []
    network(torch.randn(1, 1, 3, 64, 64))
    assert calls == ["prompt", "decoder"]


@given(data=st.data())
@settings(max_examples=12)
@torch.no_grad()
def test_any_number_of_modalities_classes_slices_and_any_size(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(ARMS))
    modalities = data.draw(st.integers(1, 4))
    classes = data.draw(st.integers(2, 6))
    depth = data.draw(st.integers(1, 5))
    size = (8 * data.draw(st.integers(2, 9)), 8 * data.draw(st.integers(2, 9)))
    network = build_network(
        load_arm(name), in_channels=modalities, num_classes=classes, depth=depth, image_size=size
    ).eval()
    output = network(torch.randn(2, modalities, depth, *size))
    assert output.logits.shape == (2, classes, depth, *size)
    assert output.labels.shape == (2, depth, *size)
    labels = network.mask_head.labels(output.logits)
    assert labels.shape == (2, depth, *size)
    assert output.auxiliary[0].shape == (2, classes, depth, *size)
    assert output.prompts.points.shape == (2, depth, classes, 2)
    assert output.prompts.boxes.shape == (2, depth, classes, 4)
    assert output.prompts.present.shape == (2, depth, classes)
    assert labels.min() >= 0
    assert labels.max() < classes


@pytest.mark.parametrize("name", ARMS)
@torch.no_grad()
def test_a_patch_that_is_not_square_keeps_its_aspect(name: str) -> None:
    arm = load_arm(name, {"backbone.encoder_size": [96, 64]})
    network = build_network(arm, in_channels=1, num_classes=3, depth=2, image_size=(48, 32)).eval()
    assert network.image_encoder.image_size == (96, 64)
    assert network.mask_decoder.mask_size == (48, 32)
    patch = torch.randn(1, 1, 2, 48, 32)
    # The same factor on both axes: a square stays one.
    assert network.input_adapter(patch).shape == (2, 3, 96, 64)
    output = network(patch)
    assert output.logits.shape == (1, 3, 2, 48, 32)
    sizes = network_size(arm, in_channels=1, num_classes=3, patch=(2, 48, 32))
    assert sizes.total == sum(parameter.numel() for parameter in network.parameters())
    assert sizes.blocks == network.parameter_groups()


def test_an_encoders_size_is_made_of_whole_patches() -> None:
    arm = load_arm(ARMS[0], {"backbone.encoder_size": [96, 60]})
    with pytest.raises(InputError, match="96 x 60 does not consist of whole 8-pixel patches"):
        network_size(arm, in_channels=1, num_classes=3, patch=(2, 48, 32))
    for wrong in ([96], [96, 0], "96", [96.5, 64], "0x", "1.5x"):
        with pytest.raises(InputError, match=r"backbone\.encoder_size"):
            load_arm(ARMS[0], {"backbone.encoder_size": wrong})


@pytest.mark.parametrize("backbone", ["sam_vit_b", "sam_vit_l", "sam_vit_h"])
def test_official_sizes_are_counted_without_memory(backbone: str) -> None:
    arm = load_arm(ARMS[-1], {"backbone.name": backbone})
    size = network_size(arm, in_channels=1, num_classes=4, patch=(4, 256, 256))
    frozen = {"sam_vit_b": 93.7e6, "sam_vit_l": 312.3e6, "sam_vit_h": 641.1e6}[backbone]
    # Absolute and relative positions shrink with the input; the rest of SAM is whole.
    assert size.total - size.trained == pytest.approx(frozen, rel=0.05)
    assert size.trained == sum(size.blocks.values())
    assert size.blocks["prompt"] == 0


def test_a_volume_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(3, 64, 64\).*\(1, 1, 2, 64, 64\)"):
        small(ARMS[0])(torch.zeros(1, 1, 2, 64, 64))


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("S2", "prompt_generator"),
        ("S3", "adapter of encoder block 0"),
        ("S7", "depth_pos_embed"),
        ("S9", "input_adapter"),
    ],
)
def test_where_training_starts(name: str, part: str) -> None:
    network = small(name)
    assert network.training_starts() == part
    seen: list[bool] = []
    network.image_encoder.patch_embed.register_forward_hook(
        lambda _module, _inputs, output: seen.append(output.requires_grad)
    )
    network(torch.randn(1, 1, network.depth, *network.image_size))
    assert seen == [part == "input_adapter"]


def test_frozen_weights_kept_in_bf16_change_nothing_under_autocast() -> None:
    network = small("S9")
    volume = torch.randn(1, 1, network.depth, *network.image_size)
    logits = []
    for _ in range(2):
        with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
            logits.append(network(volume).logits)
        network.freeze_in(torch.bfloat16)
    assert torch.equal(*logits)
    assert all(p.dtype == torch.float32 for _, p in network.trained_parameters())
