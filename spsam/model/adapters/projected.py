"""Application of projection adapters to the outputs of a frozen module's projections."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from spsam.errors import InputError
from spsam.model.adapters.base import ProjectionAdapter
from spsam.model.adapters.sites import Projection

Layer = Callable[[Tensor], Tensor]

Beside = tuple[ProjectionAdapter, Projection]
"""An adapter and the projection that it stands at."""


class Projected:
    """The adapters at the projections of one frozen module.

    Args:
        adapters: By the projection's name; those of one projection add up.
    """

    def __init__(self, adapters: Mapping[str, Sequence[Beside]]) -> None:
        self._adapters = adapters

    def linear(self, name: str, layer: Layer, x: Tensor) -> Tensor:
        """A frozen layer's output and what its adapters add.

        Args:
            name: The projection's.
            layer: The frozen layer.
            x: `(..., inputs)`.

        Returns:
            `(..., outputs)`.
        """
        return self._add(name, x, layer(x))

    def qkv(self, layer: Layer, x: Tensor) -> Tensor:
        """The same of a layer that makes q, k and v in one.

        Args:
            layer: The frozen layer.
            x: `(..., E)`.

        Returns:
            `(..., 3E)`.
        """
        output = layer(x)
        if not self._adapters.keys() & {"q", "k", "v"}:
            return output
        parts = zip("qkv", output.chunk(3, dim=-1), strict=True)
        # In place would spoil the output for an adapter that multiplies by it.
        return torch.cat([self._add(name, x, part) for name, part in parts], dim=-1)

    def mlp(self, first: Layer, activation: Layer, second: Layer, x: Tensor) -> Tensor:
        """The same of an MLP, `(..., dim)` to the same shape."""
        return self.linear("fc2", second, activation(self.linear("fc1", first, x)))

    def attention(self, frozen: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """The same of an attention of `segment_anything`'s two-way transformer.

        Args:
            frozen: The attention.
            q: `(n, T, C)`.
            k: `(n, N, C)`.
            v: `(n, N, C)`.

        Returns:
            `(n, T, C)`.
        """
        layers = {"q": (frozen.q_proj, q), "k": (frozen.k_proj, k), "v": (frozen.v_proj, v)}
        query, key, value = (
            _heads(self.linear(name, layer, x), frozen.num_heads)
            for name, (layer, x) in layers.items()
        )
        # Step by step as there: an adapter that begins with nothing leaves every bit.
        weights = (query @ key.transpose(2, 3) / query.shape[-1] ** 0.5).softmax(dim=-1)
        attended = (weights @ value).transpose(1, 2).flatten(2)
        return self.linear("proj", frozen.out_proj, attended)

    def _add(self, name: str, x: Tensor, output: Tensor) -> Tensor:
        whole = output
        for adapter, site in self._adapters.get(name, ()):
            # A float32 parameter alone would make the sum wider than the frozen output.
            whole = whole + adapter(x, output, site).to(output.dtype)
        return whole


def _heads(x: Tensor, heads: int) -> Tensor:
    """`(n, N, C)` to `(n, heads, N, C / heads)`."""
    return x.reshape(*x.shape[:2], heads, -1).transpose(1, 2)


def arranged(adapters: Mapping[str, ProjectionAdapter]) -> dict[str, Projected]:
    """The adapters of every frozen module that has any.

    Args:
        adapters: By component.

    Raises:
        InputError: If two stand at one projection and one of them works on its frozen output.
    """
    by_module: dict[str, dict[str, list[Beside]]] = {}
    for component, adapter in adapters.items():
        for site in adapter.sites:
            there = by_module.setdefault(site.module, {}).setdefault(site.name, [])
            there.append((adapter, site))
            alone = [each for each, _ in there if each.uses_output]
            if alone and len(there) > 1:
                names = {id(each): name for name, each in adapters.items()}
                first = names[id(there[0][0])]
                raise InputError(
                    f"blocks.adapter: {first} and {component} both stand at the projection "
                    f"{site.name} of {site.module}, and {names[id(alone[0])]} works on the frozen "
                    "output, which is another with the other adapter: give them other targets"
                )
    return {module: Projected(names) for module, names in by_module.items()}
