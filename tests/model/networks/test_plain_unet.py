from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spsam.model.networks.plain_unet import CHANNELS, PlainUNet, halvings


@given(
    depth=st.integers(1, 5),
    size=st.tuples(st.integers(9, 20), st.integers(9, 20)),
    channels=st.integers(1, 3),
    classes=st.integers(2, 4),
    spatial=st.booleans(),
)
@settings(max_examples=8, deadline=None)
def test_any_size_and_every_parameter_learns(
    depth: int, size: tuple[int, int], channels: int, classes: int, spatial: bool
) -> None:
    net = PlainUNet(channels, classes, depth, size, spatial=spatial)
    output = net(torch.randn(2, channels, depth, *size), decode=False)
    assert output.logits is not None
    assert output.auxiliary == []
    assert tuple(output.logits.shape) == (2, classes, depth, *size)
    output.logits.square().mean().backward()
    assert all(p.grad is not None for _, p in net.trained_parameters())


@pytest.mark.parametrize(("spatial", "dtype"), [(False, torch.bfloat16), (True, torch.float32)])
def test_the_spatial_one_leaves_bf16_on_a_cpu(
    spatial: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its deep maps have fewer slices than its kernels, whose gradient is wrong there."""
    monkeypatch.setattr("spsam.model.kernels.bf16_convolution._bf16_is_right", lambda: True)
    net = PlainUNet(1, 2, 4, (16, 16), spatial=spatial)
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        logits = net(torch.randn(1, 1, 4, 16, 16)).logits
    assert logits is not None
    assert logits.dtype == dtype


@pytest.mark.parametrize("spatial", [False, True])
def test_only_the_spatial_one_sees_other_slices(spatial: bool) -> None:
    torch.manual_seed(0)
    net = PlainUNet(1, 2, 4, (16, 16), spatial=spatial).eval()
    volume = torch.randn(1, 1, 4, 16, 16)
    changed = volume.clone()
    changed[0, 0, 3] += 1
    with torch.no_grad():
        moved = (net(changed).logits - net(volume).logits).abs().amax(dim=(0, 1, 3, 4)) > 1e-6
    assert moved.tolist() == ([True] * 4 if spatial else [False, False, False, True])


@given(depth=st.integers(1, 64))
def test_slices_are_halved_last_and_never_away(depth: int) -> None:
    strides = halvings(depth)
    assert len(strides) == len(CHANNELS) - 1
    assert strides[0] == (1, 2, 2)
    halved = sum(stride[0] == 2 for stride in strides)
    assert 2**halved < 2 * depth or halved == 0


def test_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a volume"):
        PlainUNet(1, 2, 2, (16, 16), spatial=True)(torch.zeros(1, 1, 2, 16, 8))
