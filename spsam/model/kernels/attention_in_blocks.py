"""Attention over a large grid on a CPU, in blocks of queries: replaces torch's fused kernel."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

BLOCK = 2**20
"""Maximum number of logits in memory at once, small enough for a CPU's cache."""


class AttentionInBlocks(torch.autograd.Function):
    """`softmax(query · keyᵀ + by_row + by_column) · value`, without storing the probabilities.

    This is the algorithm of a fused kernel, in matrix products. torch's kernels accept a bias only
    as a full N×N matrix or as additional dimensions of the heads (see `Attention`), which triples
    the length of SAM's heads at 1,024 pixels. Here, the bias is added in place to each block of
    logits. The backward pass recomputes the probabilities.

    N = gh · gw; `apply` takes:

    - query, key, value: `(m, N, c)` each; queries are already scaled.
    - by_row: `(m, N, gh)`, bias of query n for each row of keys.
    - by_column: `(m, N, gw)`, bias of query n for each column of keys.

    It returns `(m, N, c)`.
    """

    @staticmethod
    def forward(ctx: Any, *tensors: Tensor) -> Tensor:
        """Computes the attention; see the class."""
        query, _, value, *_ = tensors
        out = torch.empty_like(query)
        for head, block in _blocks(query):
            torch.mm(_probabilities(tensors, head, block), value[head], out=out[head, block])
        ctx.save_for_backward(*tensors, out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        """Computes the gradients of all inputs of `apply`."""
        *tensors, out = ctx.saved_tensors
        query, key, value, by_row, by_column = tensors
        # Queries and their biases belong to one block; keys and values contribute to all blocks.
        of_query, of_row, of_column = map(torch.empty_like, (query, by_row, by_column))
        of_key, of_value = torch.zeros_like(key), torch.zeros_like(value)
        # Mean gradient of each query's logits, which the gradient of the softmax subtracts.
        mean = (gradient * out).sum(2, keepdim=True)
        for head, block in _blocks(query):
            probabilities, given = _probabilities(tensors, head, block), gradient[head, block]
            of_value[head].addmm_(probabilities.t(), given)
            logits = torch.addmm(-mean[head, block], given, value[head].t()).mul_(probabilities)
            torch.mm(logits, key[head], out=of_query[head, block])
            of_key[head].addmm_(logits.t(), query[head, block])
            on_grid = logits.view(-1, by_row.shape[2], by_column.shape[2])
            torch.sum(on_grid, 2, out=of_row[head, block])
            torch.sum(on_grid, 1, out=of_column[head, block])
        return of_query, of_key, of_value, of_row, of_column


def _blocks(query: Tensor) -> list[tuple[int, slice]]:
    heads, length, _ = query.shape
    rows = max(BLOCK // length, 1)
    return [
        (head, slice(start, start + rows))
        for head in range(heads)
        for start in range(0, length, rows)
    ]


def _probabilities(tensors: tuple[Tensor, ...], head: int, block: slice) -> Tensor:
    """Computes the attention probabilities of a block of queries in one head, `(rows, N)`."""
    query, key, _, by_row, by_column = tensors
    bias = by_row[head, block, :, None] + by_column[head, block, None, :]
    logits = bias.flatten(1)
    return torch.addmm(logits, query[head, block], key[head].t(), out=logits).softmax(1)
