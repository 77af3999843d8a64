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
"""An adapter and the projection that it adapts."""


class Projected:
    """The adapters at the projections of one frozen module.

    Args:
        adapters: Adapters by name of the projection; the changes of several are added.
    """

    def __init__(self, adapters: Mapping[str, Sequence[Beside]]) -> None:
        self._adapters = adapters

    def linear(self, name: str, layer: Layer, x: Tensor) -> Tensor:
        """Computes a frozen layer's output plus the changes of its adapters.

        Args:
            name: Name of the projection.
            layer: The frozen layer.
            x: `(..., inputs)`.

        Returns:
            `(..., outputs)`.
        """
        return self._add(name, x, layer(x))

    def qkv(self, layer: Layer, x: Tensor) -> Tensor:
        """Computes the adapted output of a layer that combines q, k and v.

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
        # Adding in place would modify the output that an adapter multiplies by.
        return torch.cat([self._add(name, x, part) for name, part in parts], dim=-1)

    def mlp(self, first: Layer, activation: Layer, second: Layer, x: Tensor) -> Tensor:
        """Computes an adapted MLP of two layers.

        Args:
            first: The frozen layer `fc1`.
            activation: The activation between both layers.
            second: The frozen layer `fc2`.
            x: `(..., dim)`.

        Returns:
            The same shape.
        """
        return self.linear("fc2", second, activation(self.linear("fc1", first, x)))

    def attention(self, frozen: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Computes an adapted attention of `segment_anything`'s two-way transformer.

        Args:
            frozen: The attention module.
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
        # The same operations as in the package, so that a zero-initialised adapter leaves the
        # output bitwise identical.
        weights = (query @ key.transpose(2, 3) / query.shape[-1] ** 0.5).softmax(dim=-1)
        attended = (weights @ value).transpose(1, 2).flatten(2)
        return self.linear("proj", frozen.out_proj, attended)

    def _add(self, name: str, x: Tensor, output: Tensor) -> Tensor:
        whole = output
        for adapter, site in self._adapters.get(name, ()):
            # A change that is only a float32 parameter would promote the type of the sum.
            whole = whole + adapter(x, output, site).to(output.dtype)
        return whole


def _heads(x: Tensor, heads: int) -> Tensor:
    """Splits `(n, N, C)` into heads, `(n, heads, N, C / heads)`."""
    return x.reshape(*x.shape[:2], heads, -1).transpose(1, 2)


def arranged(adapters: Mapping[str, ProjectionAdapter]) -> dict[str, Projected]:
    """Groups projection adapters by frozen module.

    Args:
        adapters: Projection adapters by component.

    Returns:
        The adapters of every module that has any, by name of the module.

    Raises:
        InputError: If two adapters select the same projection and one depends on its frozen output.
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
                    f"blocks.adapter: {first} and {component} both adapt the projection "
                    f"{site.name} of {site.module}, but {names[id(alone[0])]} depends on the "
                    "frozen output and cannot share a projection: select other targets for one"
                )
    return {module: Projected(names) for module, names in by_module.items()}
