"""Number of bytes in live tensors, and its maximum."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts each storage from its creation until its release, on any device.

    Attributes:
        now: Bytes in live tensors.
        most: Maximum since the last call of `mark`.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.most = 0
        self._seen: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self.count(each for each in tree_leaves(out) if isinstance(each, Tensor))
        return out

    def count(self, tensors: Iterable[Tensor]) -> None:
        """Counts tensors, including those created outside the context."""
        for tensor in tensors:
            storage = tensor.untyped_storage()
            key, size = storage._cdata, storage.nbytes()
            if key not in self._seen:
                self._seen.add(key)
                self.now += size
                self.most = max(self.most, self.now)
                weakref.finalize(storage, self._end, key, size)

    def mark(self) -> int:
        """Resets the maximum; returns the current number of bytes."""
        self.most = self.now
        return self.now

    def _end(self, key: int, size: int) -> None:
        self._seen.discard(key)
        self.now -= size
