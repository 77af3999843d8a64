"""The adapters' algebra and their parameters, written out once more from the paper."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import gelu

from spsam.errors import InputError
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
