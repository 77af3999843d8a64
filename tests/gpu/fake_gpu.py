"""A GPU that is not there: what would fail or wait on a real one fails on it.

torch's fake tensors know shape, type and device, and hold no numbers. An operation on tensors of
two devices raises; one whose result is a number on the host (`.item()`, `if tensor`) or whose shape
depends on numbers (`nonzero`, a boolean mask) raises, as there is nothing to look at. Copies
between GPU and host would pass; they are refused by `_NoCopies`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from unittest import mock

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

Module = TypeVar("Module", bound=nn.Module)


class CopyError(RuntimeError):
    """Something was copied between the GPU and the host."""


class _NoCopies(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if func in _COPIES:
            before = {each.device.type for each in tree_leaves(args) if isinstance(each, Tensor)}
            after = {each.device.type for each in tree_leaves(out) if isinstance(each, Tensor)}
            if len(before | after) > 1:
                raise CopyError(f"{func} between {' and '.join(sorted(before | after))}")
        return out


_COPIES = (
    torch.ops.aten._to_copy.default,
    torch.ops.aten.copy_.default,
    torch.ops.aten.copy.default,
)


@contextmanager
def fake_gpu() -> Iterator[None]:
    """Inside, tensors are fake, and the device `cuda` is there; autocast works on it."""
    # Autocast is off where there is no GPU, and asks the GPU for its types.
    here = mock.patch("torch.cuda.amp.common.amp_definitely_not_available", return_value=False)
    types = mock.patch("torch.cuda.is_bf16_supported", return_value=True)
    fake = FakeTensorMode(allow_non_fake_inputs=False)
    with here, types, warnings.catch_warnings(), fake, _NoCopies():
        warnings.filterwarnings("error", message="CUDA is not available")
        yield


def onto_gpu(module: Module, device: str = "cuda") -> Module:
    """Puts a module's parameters and buffers onto the fake GPU, in place."""
    for part in module.modules():
        for name, value in part._parameters.items():
            if value is not None:
                made = _like(value, device)
                part._parameters[name] = nn.Parameter(made, requires_grad=value.requires_grad)
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = _like(buffer, device)
    return module


def _like(value: Tensor, device: str) -> Tensor:
    return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device=device)


def on_gpu(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """A tensor on the fake GPU."""
    return torch.zeros(shape, dtype=dtype, device="cuda")
