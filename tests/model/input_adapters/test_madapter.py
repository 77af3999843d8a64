from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from spsam.errors import InputError
from spsam.model.input_adapters.madapter import MAdapter, doublings
from spsam.model.input_adapters.repeat import RepeatChannels

from ..components import count

side = st.integers(1, 300)


@given(image=st.tuples(side, side), encoder=st.tuples(side, side))
def test_doublings_are_as_many_as_fit(image: tuple[int, int], encoder: tuple[int, int]) -> None:
    n = doublings(image, encoder)
    fits = [i * 2**n <= e for i, e in zip(image, encoder, strict=True)]
    assert n == 0 or all(fits)
    assert not all(i * 2 ** (n + 1) <= e for i, e in zip(image, encoder, strict=True))


@pytest.mark.parametrize(
    ("image", "encoder", "n"),
    [(256, 1024, 2), (256, 256, 0), (512, 512, 0), (96, 128, 0), (128, 320, 1), (256, 128, 0)],
)
@pytest.mark.parametrize("channels", [1, 4])
def test_parameters(image: int, encoder: int, n: int, channels: int) -> None:
    h = 16
    wanted = 27 * channels * h + 2 * h + n * (4 * h * h + 2 * h) + 27 * h * 3 + 2 * 3
    module = MAdapter(channels, (image, image), (encoder, encoder))
    assert count(module) == wanted
    assert sum(isinstance(m, nn.ConvTranspose3d) for m in module.modules()) == n


def test_hidden_is_a_value() -> None:
    h = 8
    assert count(MAdapter(1, (4, 4), (4, 4), hidden=h)) == 27 * h + 2 * h + 81 * h + 6


@pytest.mark.parametrize(("channels", "hidden"), [(1, 3), (5, 5)])
def test_a_bottleneck_that_is_not_inverted_is_refused(channels: int, hidden: int) -> None:
    with pytest.raises(InputError, match="hidden"):
        MAdapter(channels, (4, 4), (4, 4), hidden=hidden)


@pytest.mark.parametrize("lr_mult", [0.0, -1.0, float("nan"), float("inf")])
def test_a_multiple_of_the_rate_that_trains_nothing_is_refused(lr_mult: float) -> None:
    with pytest.raises(InputError, match="lr_mult") as caught:
        MAdapter(1, (4, 4), (4, 4), hidden=2, lr_mult=lr_mult)
    assert len(caught.value.problems) == 2


def test_channels_are_standardised() -> None:
    slices = MAdapter(2, (8, 8), (16, 16))(100 + 50 * torch.randn(1, 2, 3, 8, 8))
    spread, mean = torch.std_mean(slices, dim=(0, 2, 3))
    torch.testing.assert_close(mean, torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(spread, torch.ones(3), atol=1e-2, rtol=0)


def test_one_pixel_trains() -> None:
    module = MAdapter(1, (1, 1), (1, 1)).train()
    assert module(torch.ones(1, 1, 1, 1, 1)).shape == (1, 3, 1, 1)


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
@pytest.mark.parametrize("encoder", [16, 24])
def test_it_starts_as_the_standardised_picture(channels: int, encoder: int) -> None:
    volume = torch.randn(2, channels, 3, 16, 16)
    repeated = RepeatChannels(channels, (16, 16), (encoder, encoder))(volume)
    slices = MAdapter(channels, (16, 16), (encoder, encoder))(volume)
    # Standardised by volume, so that within one the two are the same up to scale and shift.
    for ours, theirs in zip(slices.split(3), repeated.split(3), strict=True):
        for pair in zip(ours.unbind(1), theirs.unbind(1), strict=True):
            assert torch.corrcoef(torch.stack([each.flatten() for each in pair]))[0, 1] > 0.9999


def test_a_doubled_picture_is_the_picture_with_larger_pixels() -> None:
    volume = torch.randn(1, 1, 2, 8, 8)
    slices = MAdapter(1, (8, 8), (16, 16))(volume)[:, 0]
    large = volume[0, 0].repeat_interleave(2, dim=1).repeat_interleave(2, dim=2)
    assert torch.corrcoef(torch.stack([slices.flatten(), large.flatten()]))[0, 1] > 0.995


def test_it_can_start_as_torch_does() -> None:
    adapter = MAdapter(1, (8, 8), (8, 8), init="default")
    assert all((p != 0).all() for p in adapter.parameters() if p.ndim > 1)
