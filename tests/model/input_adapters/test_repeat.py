from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from spsam.model.input_adapters.repeat import RepeatChannels


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_channels(channels: int) -> None:
    volume = torch.randn(2, channels, 3, 4, 5)
    slices = RepeatChannels(channels, (4, 5), (4, 5))(volume)
    for b in range(2):
        for d in range(3):
            one = volume[b, :, d]
            wanted = one if channels == 3 else one.mean(dim=0).expand(3, -1, -1)
            torch.testing.assert_close(slices[3 * b + d], wanted)


@pytest.mark.parametrize("size", [(8, 10), (7, 3), (2, 2)])
def test_resize_is_bilinear(size: tuple[int, int]) -> None:
    volume = torch.randn(1, 3, 2, 4, 5)
    slices = RepeatChannels(3, (4, 5), size)(volume)
    wanted = functional.interpolate(volume[0].transpose(0, 1), size=size, mode="bilinear")
    torch.testing.assert_close(slices, wanted)


def test_no_parameters() -> None:
    assert not RepeatChannels(1, (4, 4), (8, 8)).state_dict()
