"""The image encoder's linear layers, which do not train, by a CPU's fastest products."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.utils.flop_counter import register_flop_formula

_SIGNATURE = (
    "mkldnn::_linear_pointwise(Tensor X, Tensor W, Tensor? B, str attr, Scalar?[] scalars, "
    "str? algorithm) -> Tensor Y"
)


class FrozenLinear(nn.Linear):
    """A linear layer whose weights are only read; where they train, an ordinary one.

    Args:
        source: The layer whose parameters become this one's own.
    """

    def __init__(self, source: nn.Linear) -> None:
        super().__init__(source.in_features, source.out_features, device="meta")
        self.weight, self.bias = source.weight, source.bias

    def forward(self, x: Tensor) -> Tensor:
        """`(…, C)` to `(…, C')`."""
        return frozen_linear(x, self.weight, self.bias)


def frozen_linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`x · weightᵀ + bias`, in float32 on an x86 CPU by oneDNN.

    torch gives these products to MKL, which on processors that are not Intel's has three quarters
    of oneDNN's speed; in 16 bits oneDNN is what torch takes.

    Args:
        x: `(…, C)`.
        weight: `(C', C)`.
        bias: `(C')`, or None.

    Returns:
        `(…, C')`.
    """
    if weight.requires_grad or not _onednn_takes(x, weight):
        return functional.linear(x, weight, bias)
    product: Tensor = _Product.apply(x, weight, bias)
    return product


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(weight)
        return _onednn(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (weight,) = ctx.saved_tensors
        return _onednn(gradient, weight.t(), None), None, None


def _onednn(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    product: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return product


def _onednn_takes(x: Tensor, weight: Tensor) -> bool:
    return (
        _HAS_ONEDNN
        and x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        # A compiler has products of its own.
        and not torch.compiler.is_compiling()
    )


def _has_onednn() -> bool:
    """Whether MKL is here too, as on x86, and torch's name for oneDNN's product means it still."""
    backends = torch.backends.mkl, torch.backends.mkldnn
    if not all(backend.is_available() for backend in backends):
        return False
    # The name is torch's own affair: where it takes anything else, linear layers are torch's.
    found = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
    return found is not None and str(found.default._schema) == _SIGNATURE


def _operations(x: Sequence[int], weight: Sequence[int], *others: Any, **named: Any) -> int:
    """Of a product, from shapes."""
    return 2 * torch.Size(x).numel() * weight[0]


_HAS_ONEDNN = _has_onednn()
if _HAS_ONEDNN:
    # torch's counter does not know it, and looks its formulas up when it is made.
    register_flop_formula(torch.ops.mkldnn._linear_pointwise)(_operations)
