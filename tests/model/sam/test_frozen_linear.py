"""SAM's frozen linear layers give what torch's own give, forward and backward."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from spsam.model.sam.backbones import BACKBONES
from spsam.model.sam.frozen_linear import FrozenLinear, frozen_linear
from spsam.model.sam.image_encoder import ImageEncoder

SIDES = st.integers(1, 70)


@given(
    shape=st.lists(st.integers(0, 9), min_size=1, max_size=3),
    width=SIDES,
    out=SIDES,
    bias=st.booleans(),
    strided=st.booleans(),
)
def test_it_is_a_linear_layer(
    shape: list[int], width: int, out: int, bias: bool, strided: bool
) -> None:
    torch.manual_seed(0)
    x, given = torch.randn(*shape, width), torch.randn(*shape, out)
    if strided:
        # Values of a token that are far apart, as behind a convolution.
        x, given = (each.movedim(-1, 0).contiguous().movedim(0, -1) for each in (x, given))
    weight, offset = torch.randn(out, width), torch.randn(out) if bias else None
    results = []
    for linear in (functional.linear, frozen_linear):
        leaf = x.detach().requires_grad_()
        y = linear(leaf, weight, offset)
        y.backward(given)
        results.append((y.detach(), leaf.grad))
    for expected, got in zip(*results, strict=True):
        assert got is not None
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-4)


def test_the_layer_has_its_sources_parameters_and_operations() -> None:
    source = nn.Linear(30, 20)
    layer = FrozenLinear(source)
    assert layer.weight is source.weight
    assert layer.bias is source.bias
    assert repr(layer) == repr(source).replace("Linear", "FrozenLinear")
    x, counts = torch.randn(2, 5, 30), []
    for each in (source, layer.requires_grad_(False)):
        with FlopCounterMode(display=False) as counter:
            each(x)
        counts.append(counter.get_total_flops())
    assert counts == [2 * 10 * 30 * 20] * 2


def test_what_trains_has_its_gradients() -> None:
    layer = FrozenLinear(nn.Linear(30, 20))
    layer(torch.randn(4, 30)).sum().backward()
    assert layer.weight.grad is not None
    assert layer.bias.grad is not None


@pytest.mark.skipif(
    not torch.backends.mkl.is_available(), reason="oneDNN is asked only where there is MKL, too"
)
def test_the_encoder_computes_so_in_float32_and_not_under_autocast() -> None:
    encoder = ImageEncoder(BACKBONES["sam_tiny"], (64, 64))
    layers = [each for each in encoder.modules() if isinstance(each, FrozenLinear)]
    assert len(layers) == 4 * BACKBONES["sam_tiny"].depth
    x = torch.randn(3, layers[0].in_features, requires_grad=True)
    assert "Product" in str(layers[0](x).grad_fn)
    with torch.autocast("cpu", torch.bfloat16):
        assert "Product" not in str(layers[0](x).grad_fn)
