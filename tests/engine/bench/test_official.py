"""The network that speed is measured against computes the same."""

from __future__ import annotations

import torch

from spsam.engine.bench.official import OfficialEncoder, on_official_modules
from spsam.model.sam.backbones import BACKBONES

from ..networks import small


def test_a_network_on_official_modules_is_the_same_network() -> None:
    """96 pixels are 12 tokens, which windows of 8 do not divide."""
    network = small("S9", image_size=96, noise=0.05)
    other = on_official_modules(network, BACKBONES["sam_tiny"])
    assert isinstance(other.image_encoder, OfficialEncoder)
    random = torch.Generator().manual_seed(0)
    volume = torch.randn(1, 1, network.depth, 96, 96, generator=random)
    gradients = []
    outputs = []
    for each in (network, other):
        output = each(volume)
        assert output.logits is not None
        (output.logits.square().mean() + output.auxiliary[0].square().mean()).backward()
        outputs.append(output.logits.detach())
        gradients.append([p.grad for _, p in each.trained_parameters()])
    torch.testing.assert_close(*outputs, rtol=1e-4, atol=1e-4)
    assert [g is None for g in gradients[0]] == [g is None for g in gradients[1]]
    # As a whole: sums of thousands of terms that cancel differ more in float32.
    one, two = (torch.cat([g.flatten() for g in some if g is not None]) for some in gradients)
    assert float((one - two).norm() / two.norm()) <= 1e-4


def test_weights_are_copies_and_frozen() -> None:
    network = small("S2")
    other = on_official_modules(network, BACKBONES["sam_tiny"])
    frozen = [p for part in other.frozen() for p in part.parameters()]
    assert not any(p.requires_grad for p in frozen)
    own = {p.data_ptr() for p in network.parameters()}
    assert not any(p.data_ptr() in own for p in other.parameters())
