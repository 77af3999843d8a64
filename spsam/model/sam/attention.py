"""SAM's attention with decomposed relative positions: exact, without padding or an N×N bias."""

from __future__ import annotations

import torch
from timm.models.vision_transformer_sam import Attention as TimmAttention
from torch import Tensor, nn
from torch.nn import functional

from spsam.model.adapters.projected import Projected
from spsam.model.kernels.attention_in_blocks import AttentionInBlocks

LARGE = 1024
"""Number of keys from which the N×N matrix is not kept on a CPU.

With fewer keys, two matrix products and a softmax are up to twice as fast, forward and backward
together. On a GPU, the fused kernel is always used, because it is a single launch.
"""


class Attention(nn.Module):
    """Multi-head self-attention in windows or over the whole grid.

    SAM adds `rel_h[q, row of k] + rel_w[q, column of k]` to the logit of query q and key k (MViTv2,
    arXiv 2112.01526). This is the product of `[rel_h, rel_w]` and `[onehot(row), onehot(column)]`.
    Plain attention on heads that are extended by these vectors computes the same result.

    SAM pads the grid with zeros to whole windows, and padding takes part in the softmax. The key
    and value of a zero token are the layer's bias (plus the change that an adapter adds to it), so
    that the padding tokens of a window differ only in their relative positions. All of them
    together are equivalent to *one* additional key, whose logit is the log-sum-exp over the
    padding. No other computation is necessary for padding.

    Args:
        source: timm's module, whose layers and positions are reused.
        window: Side length of a window, tokens; 0 for the whole grid.
    """

    def __init__(self, source: TimmAttention, window: int) -> None:
        super().__init__()
        self.heads = source.num_heads
        self.window = window
        self.qkv = source.qkv
        self.proj = source.proj
        self.rel_pos_h = source.rel_pos_h
        self.rel_pos_w = source.rel_pos_w

    def forward(self, x: Tensor, projected: Projected | None = None) -> Tensor:
        """Computes the attention.

        Args:
            x: `(n, gh, gw, E)` normalised tokens.
            projected: Adapters of the projections.

        Returns:
            The same shape.
        """
        window = (self.window or x.shape[1], self.window or x.shape[2])
        qkv: Tensor
        nothing: Tensor = self.qkv.bias
        if projected is None:
            qkv = self.qkv(x)
        else:
            qkv = projected.qkv(self.qkv, x)
            nothing = projected.qkv(self.qkv, x.new_zeros(x.shape[-1]))
        bands = [
            _joined(
                [self._windows(part, nothing, window) for part in _parts(band, 2, window[1])], 2
            )
            for band in _parts(qkv, 1, window[0])
        ]
        joined = _joined(bands, 1)
        attended: Tensor = (
            self.proj(joined) if projected is None else projected.linear("proj", self.proj, joined)
        )
        return attended

    def _windows(self, qkv: Tensor, nothing: Tensor, window: tuple[int, int]) -> Tensor:
        """Computes the attention inside windows with the same number of real tokens.

        Args:
            qkv: `(n, rows, columns, 3E)`, whole windows or a single partial one.
            nothing: `(3E,)`, q, k and v of a zero token.
            window: (rows, columns) of a full window.

        Returns:
            `(n, rows, columns, E)`.
        """
        n, rows, columns, _ = qkv.shape
        height, width = min(rows, window[0]), min(columns, window[1])
        down, right = rows // height, columns // width
        split = qkv.reshape(n, down, height, right, width, 3, self.heads, -1)
        # (3, n, down, right, heads, height, width, head width)
        split = split.permute(5, 0, 1, 3, 6, 2, 4, 7)
        query, key, value = split.reshape(3, -1, height, width, split.shape[-1]).unbind(0)
        attended = self._attend(query, key, value, nothing, window)
        folded = attended.reshape(n, down, right, self.heads, height, width, -1)
        return folded.permute(0, 1, 4, 2, 5, 3, 6).reshape(n, rows, columns, -1)

    def _attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        nothing: Tensor,
        window: tuple[int, int],
    ) -> Tensor:
        """Computes the attention of real tokens.

        Args:
            query: `(m, height, width, c)`; heads are the fastest index of m.
            key: The same shape.
            value: The same shape.
            nothing: `(3E,)`, q, k and v of a zero token.
            window: (rows, columns) of a full window.

        Returns:
            `(m, height · width, c)`.
        """
        m, height, width, size = query.shape
        scaled = query * size**-0.5
        by_row = _relative(query, self.rel_pos_h, window[0])
        by_column = _relative(query.transpose(1, 2), self.rel_pos_w, window[1]).transpose(1, 2)
        # The backward pass would copy even a slice that contains everything.
        full = (height, width) == window
        if full and _in_blocks(key, height * width):
            tensors = (scaled, key, value, by_row, by_column)
            blocks: Tensor = AttentionInBlocks.apply(*(each.flatten(1, 2) for each in tensors))
            return blocks
        kept = (by_row, by_column) if full else (by_row[..., :height], by_column[..., :width])
        long_queries = [scaled, *kept]
        row, column = (
            torch.eye(side, dtype=key.dtype, device=key.device) for side in (height, width)
        )
        long_keys = torch.cat(
            [
                key,
                row[:, None].expand(m, -1, width, -1),
                column.expand(m, height, -1, -1),
            ],
            dim=3,
        ).flatten(1, 2)
        values = value.flatten(1, 2)
        if not full:
            bias = nothing.to(key.dtype).view(3, self.heads, 1, size)
            _, padded_key, padded_value = bias.repeat(1, m // self.heads, 1, 1).unbind(0)
            # An additional column for padding: its logit in the queries, 1 in its key, 0 in others.
            long_queries.append(_padding(by_row, by_column, (height, width)).to(key.dtype))
            padded_key = functional.pad(padded_key, (0, height + width))
            long_keys = functional.pad(torch.cat([long_keys, padded_key], dim=1), (0, 1))
            long_keys[:, -1, -1] = 1
            values = torch.cat([values, padded_value], dim=1)
        return _attention(torch.cat(long_queries, dim=3).flatten(1, 2), long_keys, values)


def _parts(x: Tensor, axis: int, window: int) -> list[Tensor]:
    """Splits an axis into its whole windows and the remainder, without empty parts."""
    whole = x.shape[axis] // window * window
    if whole == x.shape[axis]:
        # The backward pass would copy even a part that contains everything.
        return [x]
    cuts = (0, whole), (whole, x.shape[axis] - whole)
    return [x.narrow(axis, start, length) for start, length in cuts if length]


def _joined(parts: list[Tensor], axis: int) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, axis)


def _relative(query: Tensor, positions: Tensor, side: int) -> Tensor:
    """Multiplies queries by the relative positions of keys along the queries' first axis.

    Args:
        query: `(m, rows, columns, c)`, unscaled.
        positions: `(2 · side - 1, c)`, from the farthest key before to the farthest key after.
        side: Number of keys along the axis, including padding.

    Returns:
        `(m, rows, columns, side)`.
    """
    # The relative position of row i and key j has index i - j + side - 1.
    table = positions.unfold(0, side, 1)[: query.shape[1]].flip(2)  # (rows, c, side)
    return torch.einsum("mhwc,hck->mhwk", query, table)


def _padding(by_row: Tensor, by_column: Tensor, real: tuple[int, int]) -> Tensor:
    """Computes the log of the sum of `exp(rel_h + rel_w)` over a window's padding.

    The padding consists of the rows below the real ones and, in the real rows, of the columns to
    their right.

    Args:
        by_row: `(m, h, w, rows of a full window)`.
        by_column: `(m, h, w, columns of a full window)`.
        real: (h, w), number of real rows and columns.

    Returns:
        `(m, h, w, 1)`, float32 at least.
    """
    wide = torch.promote_types(by_row.dtype, torch.float32)
    by_row, by_column = by_row.to(wide), by_column.to(wide)
    # The sum over an empty part is 0 and its logarithm -inf, which `logaddexp` handles correctly.
    below = by_row[..., real[0] :].logsumexp(3) + by_column.logsumexp(3)
    beside = by_row[..., : real[0]].logsumexp(3) + by_column[..., real[1] :].logsumexp(3)
    return torch.logaddexp(below, beside).unsqueeze(3)


def _in_blocks(key: Tensor, keys: int) -> bool:
    """Checks whether to process blocks of queries in sequence, which a compiler would unroll."""
    return key.device.type == "cpu" and keys >= LARGE and not torch.compiler.is_compiling()


def _attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Computes `softmax(query · keyᵀ) · value`.

    Args:
        query: `(m, N, q)`.
        key: `(m, M, q)`.
        value: `(m, M, c)`.

    Returns:
        `(m, N, c)`.
    """
    if key.device.type == "cpu" and key.shape[1] < LARGE:
        return torch.bmm(torch.bmm(query, key.transpose(1, 2)).softmax(2), value)
    # The fused kernels require the same length for keys and values.
    longer = functional.pad(value, (0, key.shape[2] - value.shape[2]))
    attended = functional.scaled_dot_product_attention(
        query[None], key[None], longer[None], scale=1.0
    )
    return attended[0, :, :, : value.shape[2]]
