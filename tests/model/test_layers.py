from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from spsam.model.layers import (
    LEAK,
    Conv3d,
    InstanceNorm,
    LeakyReLU,
    _bf16_is_right,
    conv_block,
    doubling,
    resize_in_plane,
)


def test_instance_norm_is_torchs_where_torch_has_one() -> None:
    x, norm = torch.randn(2, 3, 2, 4, 4), InstanceNorm(3)
    torch.testing.assert_close(norm(x), nn.InstanceNorm3d(3, affine=True)(x))


@pytest.mark.parametrize("volumes", [1, 3])
def test_instance_norm_leaves_channels_last(volumes: int) -> None:
    norm = InstanceNorm(5)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    x = torch.randn(volumes, 5, 2, 3, 4) * torch.arange(1, volumes + 1).view(-1, 1, 1, 1, 1)
    where = torch.randn_like(x)
    results = []
    for layout in (torch.contiguous_format, torch.channels_last_3d):
        own = x.contiguous(memory_format=layout).requires_grad_()
        got = norm(own)
        assert got.is_contiguous(memory_format=layout)
        results.append((got, *torch.autograd.grad(got, [own, *norm.parameters()], where)))
    torch.testing.assert_close(results[1], results[0])


@pytest.mark.parametrize("training", [True, False])
def test_instance_norm_lets_a_single_element_through(training: bool) -> None:
    norm = InstanceNorm(2).train(training)
    nn.init.constant_(norm.weight, 3.0)
    x = torch.tensor([1.0, -2.0]).view(1, 2, 1, 1, 1)
    assert norm(x).flatten().tolist() == [3.0, -6.0]


def test_a_bias_before_the_norm_would_be_dead() -> None:
    assert conv_block(2, 3, (3, 3, 3))[0].bias is None


def test_doubling_leaves_slices_alone() -> None:
    layer, x = doubling(2, 3), torch.randn(1, 2, 3, 4, 5)
    assert layer(x).shape == (1, 3, 3, 8, 10)
    changed = x.clone()
    changed[:, :, 1] += 1
    difference = (layer(changed) - layer(x)).abs().amax(dim=(0, 1, 3, 4))
    assert (difference > 0).tolist() == [False, True, False]


@pytest.mark.parametrize("size", [(9, 4), (3, 2), (5, 4)])
def test_resize_is_bilinear_slice_by_slice(size: tuple[int, int]) -> None:
    x = torch.randn(2, 3, 4, 5, 4)
    got = resize_in_plane(x, size)
    for d in range(4):
        wanted = functional.interpolate(x[:, :, d], size=size, mode="bilinear")
        torch.testing.assert_close(got[:, :, d], wanted)


def test_resize_to_the_same_size_is_nothing() -> None:
    x = torch.randn(1, 1, 1, 3, 4)
    assert resize_in_plane(x, (3, 4)) is x


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


@pytest.mark.parametrize("kernel", [(3, 3, 3), (1, 3, 3), (1, 5, 3)])
@pytest.mark.parametrize("rows", [2, 7, 8])
def test_a_single_volume_in_halves_is_the_same_convolution(
    kernel: tuple[int, int, int], rows: int
) -> None:
    padding = tuple(side // 2 for side in kernel)
    layer = Conv3d(4, 3, kernel, padding=padding).double()
    one = torch.randn(1, 4, 3, rows, 6, dtype=torch.float64, requires_grad=True)
    other = one.detach().clone().requires_grad_()
    weight = torch.randn(1, 3, 3, rows, 6, dtype=torch.float64)
    (layer(one) * weight).sum().backward()
    gradient, layer.weight.grad = layer.weight.grad, None
    (functional.conv3d(other, layer.weight, layer.bias, padding=padding) * weight).sum().backward()
    torch.testing.assert_close(one.grad, other.grad)
    torch.testing.assert_close(gradient, layer.weight.grad)


def test_torch_itself_takes_its_slow_loop_for_a_thin_volume() -> None:
    """When torch's rule changes, halves are no longer needed."""
    x, plain = torch.randn(1, 16, 2, 64, 64), nn.Conv3d(16, 3, 3, padding=1)

    def operations(layer: nn.Module) -> set[str]:
        with torch.profiler.profile() as profile:
            layer(x)
        return {event.key for event in profile.key_averages()}

    assert "aten::mkldnn_convolution" not in operations(plain)
    assert "aten::mkldnn_convolution" in operations(Conv3d(16, 3, 3, padding=1))


def test_leaky_relu_keeps_its_output_alone_and_is_torchs_to_the_bit() -> None:
    one = torch.cat([torch.randn(500), torch.tensor([0.0, -0.0, -1e-45, torch.inf])])
    one.requires_grad_()
    other, weight = one.detach().clone().requires_grad_(), torch.randn_like(one)
    kept: list[int] = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor.data_ptr())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = LeakyReLU()(one)
    assert kept == [out.data_ptr()]
    expected = functional.leaky_relu(other, LEAK)
    assert torch.equal(out, expected)
    (gradient,) = torch.autograd.grad(out, one, weight)
    assert torch.equal(gradient, torch.autograd.grad(expected, other, weight)[0])
