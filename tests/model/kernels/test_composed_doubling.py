from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from spsam.model.kernels.composed_doubling import composing_pays, convolve_doubled
from spsam.model.layers import Conv3d, Joining, doubling, join


def layers(
    channels: list[int], widths: list[int], kernel: tuple[int, int, int], joining: Joining
) -> tuple[list[nn.ConvTranspose3d], Conv3d]:
    joined = sum(widths) if joining == "concat" else widths[0]
    padding = tuple(side // 2 for side in kernel)
    doublings = [doubling(c, w).double() for c, w in zip(channels, widths, strict=True)]
    return doublings, Conv3d(joined, 3, kernel, padding=padding, bias=False).double()


@given(
    channels=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    kernel=st.tuples(*[st.sampled_from([1, 3, 5, 7])] * 3),
    size=st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 5)),
    batch=st.integers(1, 2),
    joining=st.sampled_from(["concat", "sum"]),
)
@settings(max_examples=60)
def test_it_is_the_convolution_of_doubled_maps(
    channels: list[int],
    kernel: tuple[int, int, int],
    size: tuple[int, int, int],
    batch: int,
    joining: Joining,
) -> None:
    widths = [index % 3 + 1 if joining == "concat" else 2 for index in range(len(channels))]
    doublings, convolution = layers(channels, widths, kernel, joining)
    maps = [torch.randn(batch, c, *size, dtype=torch.float64, requires_grad=True) for c in channels]
    weights = [convolution.weight, *(each.weight for each in doublings)]
    one = convolution(join([d(m) for d, m in zip(doublings, maps, strict=True)], joining))
    other = convolve_doubled(maps, doublings, convolution, added=joining == "sum")
    torch.testing.assert_close(other, one)
    where = torch.randn_like(one)
    gradients = [torch.autograd.grad(each, [*maps, *weights], where) for each in (one, other)]
    torch.testing.assert_close(gradients[1], gradients[0])


@pytest.mark.parametrize(
    ("channels", "width", "joining", "composed"),
    [
        ([64, 64], 64, "concat", True),
        ([256, 128], 128, "concat", True),
        ([32, 32], 32, "sum", True),
        # Four taps that are added to one map of 64: 384 channels instead of 64.
        ([128, 64, 64, 64, 64], 64, "sum", False),
        ([256, 16], 16, "concat", False),
    ],
)
def test_it_is_composed_where_that_takes_fewer_products(
    channels: list[int], width: int, joining: Joining, composed: bool
) -> None:
    joined = width * len(channels) if joining == "concat" else width
    doublings = [doubling(c, width) for c in channels]
    convolution = Conv3d(joined, width, 3, padding=1, bias=False)
    assert composing_pays(doublings, convolution, 64 * 64) == composed
    # Of a map this small the kernel would cost more than it saves.
    assert not composing_pays(doublings, convolution, 2 * 2)


@pytest.mark.parametrize(("right", "slices"), [(False, 4), (True, 4), (True, 2)])
def test_autocast_rounds_no_kernel_twice(
    right: bool, slices: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where trained convolutions leave autocast the bits are float32's; else one rounding's."""
    monkeypatch.setattr("spsam.model.kernels.bf16_convolution._bf16_is_right", lambda: right)
    in_bf16 = right and slices > 2
    doublings = [doubling(8, 8), doubling(8, 8)]
    convolution = Conv3d(16, 8, 3, padding=1, bias=False)
    maps = [torch.randn(2, 8, slices, 16, 16) for _ in range(2)]
    whole = convolve_doubled(maps, doublings, convolution, added=False)
    with torch.autocast("cpu", torch.bfloat16):
        got = convolve_doubled(maps, doublings, convolution, added=False)
    assert got.dtype == (torch.bfloat16 if in_bf16 else torch.float32)
    # bf16 has 8 bits: maps, kernel and result are off by half a step of 2⁻⁸ each at most.
    worst = 3 * 2**-9 if in_bf16 else 0.0
    off = (got.float() - whole).detach().norm() / whole.detach().norm()
    assert float(off) <= worst
    if not in_bf16 or torch.cpu.get_capabilities().get("avx512_bf16"):
        # Otherwise, torch uses its own convolution, whose result is not channels last.
        assert got.is_contiguous(memory_format=torch.channels_last_3d) == in_bf16
    where = torch.randn_like(whole)
    weights = [convolution.weight, *(each.weight for each in doublings)]
    wanted = torch.autograd.grad(whole, weights, where)
    for gradient, exact in zip(
        torch.autograd.grad(got, weights, where.to(got)), wanted, strict=True
    ):
        assert float((gradient - exact).norm() / exact.norm()) <= worst
