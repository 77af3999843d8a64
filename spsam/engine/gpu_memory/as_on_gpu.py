"""Emulation of a GPU's autocast and fused attention on the meta device.

Tensors on the meta device have shapes but no values, and take the same code paths as on a GPU.
However, torch does not support autocast for them, and computes attention by its matrix, which a
fused kernel does not store.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

# Operations from autocast's lists for CUDA that the networks of spsam use.
_LOWER = frozenset(
    {
        "linear",
        "matmul",
        "__matmul__",
        "mm",
        "bmm",
        "addmm",
        "baddbmm",
        "einsum",
        "conv2d",
        "conv3d",
        "conv_transpose2d",
        "conv_transpose3d",
        "scaled_dot_product_attention",
    }
)
_FLOAT32 = frozenset(
    {
        "layer_norm",
        "group_norm",
        "instance_norm",
        "softmax",
        "log_softmax",
        "logsumexp",
        "softplus",
        "exp",
        "log",
        "pow",
        "sum",
        "norm",
        "nll_loss",
    }
)


class AsOnGpu(TorchFunctionMode):
    """Context in which shapes and types are computed as on a GPU.

    Args:
        precision: Type of autocast; float32 disables it.

    Attributes:
        attention: Number of operations of attention, forward and backward.
    """

    def __init__(self, precision: torch.dtype) -> None:
        super().__init__()
        self.precision = precision
        self.attention = 0
        self.casts = precision != torch.float32

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if self.casts and name in _LOWER:
            args, kwargs = tree_map(self._lower, (args, kwargs))
        elif self.casts and name in _FLOAT32:
            args, kwargs = tree_map(_float32, (args, kwargs))
        if func is functional.scaled_dot_product_attention:
            query, key, value = args
            # Two products in the forward pass; the backward pass repeats one and adds four.
            pairs = query.shape[:-1].numel() * key.shape[-2]
            self.attention += 7 * pairs * (query.shape[-1] + value.shape[-1])
            return _FusedAttention.apply(query, key, value)
        return func(*args, **kwargs)

    def _lower(self, value: Any) -> Any:
        floating = isinstance(value, Tensor) and value.is_floating_point()
        return value.to(self.precision) if floating else value


def _float32(value: Any) -> Any:
    floating = isinstance(value, Tensor) and value.is_floating_point()
    return value.float() if floating else value


class _FusedAttention(torch.autograd.Function):
    """Saves queries, keys, values, the output and one number per query, but no matrix."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Maps `(..., N, q)`, `(..., M, q)` and `(..., M, c)` to `(..., N, c)`."""
        out = query.new_empty(*query.shape[:-1], value.shape[-1])
        sums = query.new_empty(query.shape[:-1], dtype=torch.float32)
        ctx.save_for_backward(query, key, value, out, sums)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        """Allocates all three gradients; that of the queries is first accumulated in float32."""
        query, key, value, _, _ = ctx.saved_tensors
        summed = torch.empty_like(query, dtype=torch.float32)
        return summed.to(query.dtype), torch.empty_like(key), torch.empty_like(value)
