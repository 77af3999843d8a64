from __future__ import annotations

import pytest
import torch
from torch import nn

from spsam.model.layers import InstanceNorm


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
