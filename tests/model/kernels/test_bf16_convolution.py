from __future__ import annotations

import pytest
import torch

from spsam.model.kernels.bf16_convolution import _bf16_is_right
from spsam.model.layers import Conv3d


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
            # Two slices are right in no CPU's bf16.
            assert Conv3d(2, 2, 3, padding=1)(torch.zeros(1, 2, 2, 3, 3)).dtype == torch.float32
    finally:
        _bf16_is_right.cache_clear()
