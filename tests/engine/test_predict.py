"""The sliding window and mirroring, on networks whose answer is known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from spsam.engine.predict import predict_logits
from spsam.model.segmenter import Output
from spsam.registry.arms import load_arm

ARM = load_arm("base", {"inference.mirror": False})


class Pointwise(nn.Module):
    """Logits of a voxel from that voxel alone, so tiles must agree with the whole."""

    depth, image_size = 2, (16, 16)

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor([1.0, -2.0, 0.5]))

    def forward(self, tiles: Tensor) -> Output:
        assert not self.training
        assert tiles.shape[2:] == (self.depth, *self.image_size)
        return Output(tiles * self.scale[:, None, None, None], None, [], None)


class Sided(Pointwise):
    """Adds a ramp along x, which mirroring averages out."""

    def forward(self, tiles: Tensor) -> Output:
        ramp = torch.linspace(-1, 1, tiles.shape[-1])
        return Output(super().forward(tiles).logits + ramp, None, [], None)


@pytest.mark.parametrize("shape", [(2, 16, 16), (5, 40, 23), (1, 9, 50)])
def test_tiles_agree_with_the_whole_whatever_the_size(shape: tuple[int, int, int]) -> None:
    volume = torch.randn(1, *shape, generator=torch.Generator().manual_seed(0))
    network = Pointwise().train()
    logits = predict_logits(network, volume, ARM.inference, ARM.train)
    expected = volume * network.scale.detach()[:, None, None, None]
    assert logits.shape == (3, *shape)
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)


def test_mirroring_averages_both_sides() -> None:
    volume = torch.randn(1, 2, 16, 16, generator=torch.Generator().manual_seed(0))
    mirrored = load_arm("base", {"inference.mirror": True})
    plain = predict_logits(Sided(), volume, ARM.inference, ARM.train)
    both = predict_logits(Sided(), volume, mirrored.inference, mirrored.train)
    expected = predict_logits(Pointwise(), volume, ARM.inference, ARM.train)
    assert (plain - expected).abs().max() > 0.9
    torch.testing.assert_close(both, expected, rtol=1e-5, atol=1e-5)
