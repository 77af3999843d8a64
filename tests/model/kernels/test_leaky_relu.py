from __future__ import annotations

import torch
from torch.nn import functional

from spsam.model.layers import LEAK, LeakyReLU


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
