"""Where a run computes."""

from __future__ import annotations

import torch

from spsam.errors import InputError


def pick_device(name: str) -> str:
    """The device that a name stands for.

    Args:
        name: `auto` (a GPU where there is one), `cpu`, `cuda` or `cuda:1`.

    Raises:
        InputError: If there is no such device here.
    """
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return "cuda" if gpus else "cpu"
    known = ["cpu", *(["cuda"] if gpus else []), *(f"cuda:{index}" for index in range(gpus))]
    if name not in known:
        raise InputError(f"--device {name}: expected auto or one of {', '.join(known)}")
    return name
