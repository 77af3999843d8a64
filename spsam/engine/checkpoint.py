"""A run's checkpoint: what trains and where training stands, without SAM's frozen weights."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from spsam.errors import InputError
from spsam.model.segmenter import Segmenter


def trained_state(network: Segmenter) -> dict[str, torch.Tensor]:
    """Weights of the added blocks by name."""
    return {
        name: value
        for slot, block in network.blocks().items()
        for name, value in block.state_dict(prefix=f"{slot}.").items()
    }


def load_trained_state(network: Segmenter, state: dict[str, torch.Tensor]) -> None:
    """Puts weights into the added blocks.

    Raises:
        InputError: If the names are not exactly the network's.
    """
    expected = trained_state(network)
    missing = sorted(expected.keys() - state.keys())
    unexpected = sorted(state.keys() - expected.keys())
    if missing or unexpected:
        raise InputError(
            "the checkpoint is of another arm: "
            f"missing {missing[:3] or 'nothing'}, unexpected {unexpected[:3] or 'nothing'}"
        )
    for slot, block in network.blocks().items():
        start = f"{slot}."
        block.load_state_dict(
            {name[len(start) :]: value for name, value in state.items() if name.startswith(start)}
        )


def save_checkpoint(
    path: Path, network: Segmenter, optimizer: torch.optim.Optimizer, epochs: int
) -> None:
    """Writes the state after so many epochs, whole or not at all."""
    state = {
        "epochs": epochs,
        "blocks": trained_state(network),
        "optimizer": optimizer.state_dict(),
    }
    save_whole(path, state)


def save_whole(path: Path, state: dict[str, Any]) -> None:
    """Writes a state by way of a neighbour and a rename, so that it is never half there."""
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    os.replace(partial, path)


def load_checkpoint(
    path: Path, network: Segmenter, optimizer: torch.optim.Optimizer | None = None
) -> int:
    """Puts a run's state back.

    Returns:
        The number of epochs it was trained for; 0 where there is no checkpoint.
    """
    if not path.exists():
        return 0
    state = torch.load(path, map_location="cpu", weights_only=True)
    load_trained_state(network, state["blocks"])
    if optimizer is not None:
        optimizer.load_state_dict(state["optimizer"])
    return int(state["epochs"])
