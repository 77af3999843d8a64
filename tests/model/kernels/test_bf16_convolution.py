from __future__ import annotations

import pytest
import torch
from torch import nn

from spsam.model.adapters.conv3d import Conv3DAdapter
from spsam.model.adapters.conv_depth import ConvDepthAdapter
from spsam.model.kernels.bf16_convolution import _bf16_is_right
from spsam.model.layers import Conv3d, ConvTranspose3d, doubling


@pytest.mark.parametrize(
    ("channels", "size", "kernel"),
    [
        (64, (4, 64, 64), (3, 3, 3)),  # NaN with AMX, or the end of the process.
        (16, (2, 8, 8), (3, 3, 3)),  # The rest: with AVX-512's bf16.
        (16, (2, 16, 16), (3, 1, 1)),
        (16, (4, 8, 8), (5, 3, 3)),
        (64, (3, 1, 8), (1, 5, 5)),
        (64, (3, 2, 8), (3, 7, 7)),
        (16, (1, 8, 8), (3, 3, 3)),
        (16, (3, 8, 8), (3, 3, 3)),
    ],
)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_bf16_on_a_cpu_leaves_a_convolution_s_gradient_whole(
    channels: int,
    size: tuple[int, int, int],
    kernel: tuple[int, int, int],
    layout: torch.memory_format,
) -> None:
    padding = tuple(side // 2 for side in kernel)
    layer = Conv3d(channels, 32, kernel, padding=padding, bias=False)
    x = torch.randn(1, channels, *size).contiguous(memory_format=layout)
    layer(x).square().sum().backward()
    assert layer.weight.grad is not None
    expected, layer.weight.grad = layer.weight.grad, None
    with torch.autocast("cpu", torch.bfloat16):
        layer(x).square().sum().backward()
    torch.testing.assert_close(
        layer.weight.grad, expected, rtol=0.02, atol=float(expected.std()) / 20
    )


@pytest.mark.parametrize(
    ("channels", "size"),
    [
        (64, (4, 64, 64)),  # An eighth wrong with AMX.
        (16, (4, 96, 96)),  # The end of the process with AMX.
        (16, (2, 8, 8)),
        (16, (1, 1, 4)),
    ],
)
def test_bf16_on_a_cpu_leaves_a_doubling_s_gradient_whole(
    channels: int, size: tuple[int, int, int]
) -> None:
    layer, x = doubling(channels, 16), torch.randn(2, channels, *size)
    assert _difference_of_bf16(layer, x, layer.weight) < 0.02


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@pytest.mark.parametrize("of", [Conv3DAdapter, ConvDepthAdapter])
def test_bf16_on_a_cpu_leaves_an_adapter_s_gradient_whole(of: type, depth: int) -> None:
    """The gradient of a depth-wise kernel over two slices is noise with AMX."""
    grid = ((16, 16),) if of is Conv3DAdapter else ()
    adapter = of(192, depth, *grid, init="default")
    x = torch.randn(2, depth, 256, 192)
    assert _difference_of_bf16(adapter, x, adapter.conv.weight) < 0.05


def _difference_of_bf16(layer: nn.Module, x: torch.Tensor, weight: torch.Tensor) -> float:
    """Relative difference of a weight's gradient in bf16 from that in float32."""
    found = []
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            out = layer(x)
        mask = torch.randn(out.shape, generator=torch.Generator().manual_seed(0))
        found += torch.autograd.grad((out.float() * mask).sum(), weight)
    whole, rounded = found
    return float((rounded - whole).norm() / whole.norm())


@pytest.mark.parametrize(
    ("has", "dtype"),
    [
        ({}, torch.float32),
        ({"avx512_bf16": False}, torch.float32),
        ({"avx512_bf16": True, "amx_bf16": True}, torch.float32),
        ({"avx512_bf16": True, "amx_bf16": False}, torch.bfloat16),
    ],
)
def test_only_bf16_without_amx_is_trusted(
    has: dict[str, bool], dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has)
    _bf16_is_right.cache_clear()
    try:
        with torch.autocast("cpu", torch.bfloat16):
            assert Conv3d(2, 2, 3)(torch.zeros(1, 2, 3, 3, 3)).dtype == dtype
            assert ConvTranspose3d(2, 2, 2)(torch.zeros(1, 2, 3, 3, 3)).dtype == dtype
            # Two slices are right in no CPU's bf16.
            assert Conv3d(2, 2, 3, padding=1)(torch.zeros(1, 2, 2, 3, 3)).dtype == torch.float32
    finally:
        _bf16_is_right.cache_clear()
