from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from spsam.model.layers import Conv3d


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


@pytest.mark.parametrize(
    "values",
    [
        {"groups": 4},
        {"dilation": 2, "padding": 2},
        {"stride": 2},
        {"padding_mode": "circular"},
        {"padding": "same"},
    ],
)
def test_other_convolutions_are_not_computed_in_halves(values: dict[str, Any]) -> None:
    """Halves would ignore these values without an error."""
    own = Conv3d(4, 4, 3, **{"padding": 1, **values})
    plain = nn.Conv3d(4, 4, 3, **{"padding": 1, **values})
    plain.load_state_dict(own.state_dict())
    x = torch.randn(1, 4, 3, 8, 6)
    torch.testing.assert_close(own(x), plain(x))


def test_torch_itself_takes_its_slow_loop_for_a_thin_volume() -> None:
    """When torch's rule changes, halves are no longer needed."""
    x, plain = torch.randn(1, 16, 2, 64, 64), nn.Conv3d(16, 3, 3, padding=1)

    def operations(layer: nn.Module) -> set[str]:
        with torch.profiler.profile() as profile:
            layer(x)
        return {event.key for event in profile.key_averages()}

    assert "aten::mkldnn_convolution" not in operations(plain)
    assert "aten::mkldnn_convolution" in operations(Conv3d(16, 3, 3, padding=1))
