"""The adapters' algebra and their parameters, written out once more from the paper."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import gelu

from spsam.errors import InputError
from spsam.model.adapters.adaptformer import AdaptFormerAdapter
from spsam.model.adapters.conv3d import Conv3DAdapter
from spsam.model.adapters.conv_depth import ConvDepthAdapter
from spsam.model.adapters.depth_after import DepthAfterAdapter
from spsam.model.adapters.depth_before import DepthBeforeAdapter
from spsam.model.adapters.depth_mlp import DepthMLP
from spsam.model.adapters.dfused import DFusedAdapter
from spsam.model.adapters.none import NoAdapter
from spsam.model.adapters.vanilla import VanillaAdapter

from ..components import count

ALL = (VanillaAdapter, DepthBeforeAdapter, DepthAfterAdapter, DFusedAdapter)


def affine(layer: nn.Linear, x: Tensor) -> Tensor:
    return x @ layer.weight.T + layer.bias


def bottleneck(a: Any, x: Tensor) -> Tensor:
    return x + affine(a.up, gelu(affine(a.down, x)))


def along_depth(mlp: DepthMLP, x: Tensor) -> Tensor:
    """Position by position, channel by channel: a vector of D numbers each."""
    out = torch.empty_like(x)
    for b in range(x.shape[0]):
        for n in range(x.shape[2]):
            for c in range(x.shape[3]):
                out[b, :, n, c] = affine(mlp.down, gelu(affine(mlp.up, x[b, :, n, c])))
    return out


def expected(a: Any, x: Tensor) -> Tensor:
    if isinstance(a, VanillaAdapter):
        return bottleneck(a, x)
    if isinstance(a, DepthBeforeAdapter):
        return bottleneck(a.vanilla, x + along_depth(a.depth_mlp, x))
    if isinstance(a, DepthAfterAdapter):
        y = bottleneck(a.vanilla, x)
        return y + along_depth(a.depth_mlp, y)
    h = gelu(affine(a.down, x))
    return x + affine(a.up, h + along_depth(a.depth_mlp, h))


@pytest.mark.parametrize("adapter", ALL)
@pytest.mark.parametrize("depth", [1, 3])
@torch.no_grad()
def test_algebra(adapter: type, depth: int) -> None:
    module = adapter(8, depth, init="default").double()
    x = torch.randn(2, depth, 3, 8, dtype=torch.float64)
    torch.testing.assert_close(module(x), expected(module, x))
    assert not torch.equal(module(x), x)


@given(dim=st.integers(1, 40), depth=st.integers(1, 9), ratio=st.sampled_from([0.1, 0.25, 0.5, 2]))
def test_parameters(dim: int, depth: int, ratio: float) -> None:
    hidden = max(1, int(dim * ratio))
    bottleneck_ = 2 * dim * hidden + hidden + dim
    mlp = 8 * depth**2 + 5 * depth
    assert count(NoAdapter(dim, depth)) == 0
    assert count(VanillaAdapter(dim, depth, ratio=ratio)) == bottleneck_
    for adapter in ALL[1:]:
        assert count(adapter(dim, depth, ratio=ratio)) == bottleneck_ + mlp


def test_equation_1_at_the_papers_sizes() -> None:
    # C = 768, r = 1/4, D = 4: 768·192 + 192 + 192·768 + 768, and 4·16 + 16 + 16·4 + 4.
    assert count(DFusedAdapter(768, 4)) == 295_872 + 148


@pytest.mark.parametrize("adapter", ALL[1:])
def test_depth_ratio(adapter: type) -> None:
    depth = 3
    by = [count(adapter(8, depth, depth_ratio=ratio)) for ratio in (1, 2)]
    assert by[1] - by[0] == 2 * depth**2 + depth


@pytest.mark.parametrize("adapter", ALL)
def test_zero_is_the_last_layer_of_each_part(adapter: type) -> None:
    zero = {k for k, p in adapter(8, 3).named_parameters() if not p.any()}
    last = {
        VanillaAdapter: {"up"},
        DFusedAdapter: {"up", "depth_mlp.down"},
    }.get(adapter, {"vanilla.up", "depth_mlp.down"})
    assert zero == {f"{layer}.{kind}" for layer in last for kind in ("weight", "bias")}


@pytest.mark.parametrize("adapter", ALL)
@pytest.mark.parametrize(
    ("wrong", "said"), [({"init": "zeros"}, "did you mean 'zero'"), ({"ratio": 0.0}, "ratio")]
)
def test_wrong_values(adapter: type, wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        adapter(8, 3, **wrong)


def test_wrong_depth_ratio() -> None:
    with pytest.raises(InputError, match="depth_ratio"):
        DFusedAdapter(8, 3, depth_ratio=0)


def beside(x: Tensor, *axes: int) -> Any:
    """Offsets of a 3-tap neighbourhood along some axes, with what stands there, zero outside."""
    for offset in itertools.product((-1, 0, 1), repeat=len(axes)):
        shifted = torch.zeros_like(x)
        here, there = [slice(None)] * x.ndim, [slice(None)] * x.ndim
        for axis, step in zip(axes, offset, strict=True):
            size = x.shape[axis]
            here[axis] = slice(max(0, -step), min(size, size - step))
            there[axis] = slice(max(0, step), min(size, size + step))
        shifted[tuple(here)] = x[tuple(there)]
        yield tuple(step + 1 for step in offset), shifted


@torch.no_grad()
def test_conv_depth_is_masams_3d_adapter() -> None:
    adapter = ConvDepthAdapter(8, 4, init="default").double()
    x = torch.randn(2, 4, 5, 8, dtype=torch.float64)
    mean, variance = x.mean(-1, keepdim=True), x.var(-1, keepdim=True, unbiased=False)
    normed = (x - mean) / (variance + 1e-5).sqrt() * adapter.norm.weight + adapter.norm.bias
    hidden = normed @ adapter.down.weight.T
    mixed = sum(
        slice_ @ adapter.conv.weight[:, :, tap, 0].T for (tap,), slice_ in beside(hidden, 1)
    )
    expected = x + gelu(mixed + adapter.conv.bias) @ adapter.up.weight.T
    torch.testing.assert_close(adapter(x), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("grid", [(1, 1), (1, 4), (3, 4)])
@torch.no_grad()
def test_conv3d_is_a_depth_wise_convolution_of_each_grid(depth: int, grid: tuple[int, int]) -> None:
    adapter = Conv3DAdapter(8, depth, grid, init="default").double()
    x = torch.randn(2, depth, 2, *grid, 8, dtype=torch.float64)
    hidden = affine(adapter.down, x).relu()
    # Taps that an axis of one entry lacks are those that would only meet the border.
    taps = adapter.conv.weight[:, 0]
    whole = torch.zeros(len(taps), 3, 3, 3, dtype=taps.dtype)
    middle = [slice(None) if size == 3 else slice(1, 2) for size in taps.shape[1:]]
    whole[(slice(None), *middle)] = taps
    mixed = sum(part * whole[(slice(None), *tap)] for tap, part in beside(hidden, 1, 3, 4))
    expected = x + affine(adapter.up, (mixed + adapter.conv.bias).relu())
    torch.testing.assert_close(
        adapter(x.flatten(2, 4)), expected.flatten(2, 4), rtol=1e-6, atol=1e-6
    )


@torch.no_grad()
def test_adaptformer_is_a_scaled_bottleneck() -> None:
    adapter = AdaptFormerAdapter(8, 1, width=3, scale=0.3, init="default").double()
    x = torch.randn(2, 1, 5, 8, dtype=torch.float64)
    expected = x + 0.3 * affine(adapter.up, affine(adapter.down, x).relu())
    torch.testing.assert_close(adapter(x), expected, rtol=1e-6, atol=1e-6)


@given(dim=st.integers(2, 40), depth=st.integers(2, 9), ratio=st.sampled_from([0.25, 0.5]))
def test_parameters_of_the_convolutions(dim: int, depth: int, ratio: float) -> None:
    h = max(1, int(dim * ratio))
    assert count(ConvDepthAdapter(dim, depth, ratio=ratio)) == 2 * dim + 2 * dim * h + 3 * h**2 + h
    assert count(ConvDepthAdapter(dim, 1, ratio=ratio)) == 2 * dim + 2 * dim * h + h**2 + h
    linears = 2 * dim * h + h + dim
    assert count(Conv3DAdapter(dim, depth, (2, 3), ratio=ratio)) == linears + 28 * h
    assert count(Conv3DAdapter(dim, depth, (1, 1), ratio=ratio)) == linears + 4 * h
    assert count(AdaptFormerAdapter(dim, depth, width=h)) == linears


def test_masams_numbers_in_vit_b() -> None:
    # 384 channels in a block of 768: two of them a block, twelve blocks.
    assert count(ConvDepthAdapter(768, 5)) == 2 * 768 + 2 * 768 * 384 + 3 * 384**2 + 384
