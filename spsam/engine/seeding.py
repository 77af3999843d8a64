"""Random states that depend on a seed and a slot."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(seed: int, slot: str) -> Iterator[None]:
    """Sets a separate random state for a slot, so that blocks' initial weights are independent.

    Args:
        seed: Seed of the run.
        slot: Name of the slot.
    """
    digest = hashlib.sha256(f"{seed}/{slot}".encode()).digest()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int.from_bytes(digest[:8], "little", signed=True))
        yield
