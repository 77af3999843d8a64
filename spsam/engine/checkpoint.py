"""A run's checkpoint: the trained weights and the state of the training, without frozen weights."""

from __future__ import annotations

import hashlib
import io
import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from spsam.errors import InputError, Problem, SpsamError
from spsam.files import atomic
from spsam.model.networks.base import Network
from spsam.model.sam.state_file import UNREADABLE

State = dict[str, Any]

_DIGEST = "sha256"
# Descriptions of required entries, for messages.
_NAMED = {"blocks": "weights of added blocks"}


def trained_state(network: Network) -> dict[str, Tensor]:
    """Returns the weights of the added blocks by name."""
    return {
        name: value
        for slot, block in network.blocks().items()
        for name, value in block.state_dict(prefix=f"{slot}.").items()
    }


def load_trained_state(network: Network, state: dict[str, Tensor]) -> None:
    """Loads weights into the added blocks.

    Args:
        network: Modified in place.
        state: Weights by name, as returned by `trained_state`.

    Raises:
        InputError: If names or shapes differ from the network's.
    """
    expected = trained_state(network)
    missing = sorted(expected.keys() - state.keys())
    unexpected = sorted(state.keys() - expected.keys())
    if missing or unexpected:
        raise InputError(
            "the checkpoint belongs to another arm: "
            f"missing {missing[:3] or 'nothing'}, unexpected {unexpected[:3] or 'nothing'}"
        )
    other = [name for name in sorted(state) if state[name].shape != expected[name].shape]
    if other:
        came, wanted = (tuple(each[other[0]].shape) for each in (state, expected))
        raise InputError(
            f"the checkpoint belongs to another arm or version: {other[0]} has the shape {came}, "
            f"expected {wanted}; train again"
        )
    for slot, block in network.blocks().items():
        start = f"{slot}."
        block.load_state_dict(
            {name[len(start) :]: value for name, value in state.items() if name.startswith(start)}
        )


def result_of(state: State) -> dict[str, Tensor]:
    """Returns the weights that result from a training: the best if it selects them, else the last.

    Args:
        state: State of a checkpoint. If the training is not finished, its best weights so far are
            returned, or the last ones before the first validation.
    """
    blocks: dict[str, Tensor] = (state.get("best") or state)["blocks"]
    return blocks


def previous(path: Path) -> Path:
    """Returns the path of the checkpoint before the last: `checkpoint.previous.pt`."""
    return path.with_suffix(".previous.pt")


def save_whole(path: Path, state: State, *, keep: bool = False) -> None:
    """Writes a state atomically: neither a kill nor a power failure leaves an incomplete file.

    The state is first written to a temporary file, which is flushed to disk and then renamed. A
    hash of the content detects damaged disks and copies.

    Args:
        path: The file, in torch's format.
        state: Tensors and plain values.
        keep: Whether an existing file is kept as `previous(path)`.

    Raises:
        SpsamError: If the disk is full or not writable; the existing file is unchanged.
    """
    content = io.BytesIO()
    torch.save({**state, _DIGEST: digest(state)}, content)
    try:
        with atomic(path, durable=True, keep=previous(path) if keep else None) as draft:
            draft.write_bytes(content.getbuffer())
    except OSError as error:
        raise SpsamError(
            f"{path}: the checkpoint cannot be written: {error.strerror}; the previous one is "
            "unchanged: free disk space and rerun the same command to resume from it"
        ) from error


def read_whole(path: Path, needed: str = "blocks") -> State:
    """Reads and verifies a file written by `save_whole`.

    Args:
        path: The file.
        needed: Key of an entry that the state must contain.

    Raises:
        InputError: If the file is damaged.
    """
    try:
        state: State = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(state, dict) or needed not in state:
            raise ValueError(f"it contains no {_NAMED.get(needed, needed)}")
        found = state.pop(_DIGEST, None)
        # Checkpoints of the first version contain neither a hash nor a description of their run.
        sound = found == digest(state) if found or "about" in state else True
    except pickle.UnpicklingError as error:
        # torch's own message advises to load the file without protection against code in it.
        message = "is not a checkpoint or is damaged: it contains other objects than weights"
        raise InputError(Problem(message, path)) from error
    except UNREADABLE as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(Problem(f"is not a checkpoint or is damaged: {reason}", path)) from error
    if not sound:
        raise InputError(Problem("the checkpoint is damaged: its hash does not match", path))
    return state


def read_last(path: Path, needed: str = "blocks") -> tuple[State | None, str]:
    """Reads the last intact checkpoint of a run.

    Args:
        path: The checkpoint; the previous one is read if it is damaged.
        needed: Key of an entry that the state must contain.

    Returns:
        The state, None if there is no checkpoint yet, and a note, empty if the last one is intact.

    Raises:
        SpsamError: If there are checkpoints but none is intact.
    """
    state, note, broken = last_sound(path, needed)
    if state is None and broken:
        raise SpsamError("; ".join([*broken, "remove these files to restart the run"]))
    return state, note


def last_sound(path: Path, needed: str = "blocks") -> tuple[State | None, str, list[str]]:
    """Reads the last intact checkpoint, and lists the problem of each damaged file.

    Args:
        path: As in `read_last`.
        needed: As in `read_last`.

    Returns:
        The state and the note as in `read_last`, and one message per damaged file.
    """
    there = [file for file in (path, previous(path)) if file.exists()]
    broken: list[str] = []
    for file in there:
        try:
            state = read_whole(file, needed)
        except InputError as error:
            broken.append(str(error))
            continue
        missing = "" if path in there else f"{path}: is missing"
        note = "; ".join([*broken, *([missing] if missing else [])])
        return state, f"{note}; resuming from {file.name}" if note else "", broken
    return None, "", broken


def load_checkpoint(path: Path, network: Network) -> State:
    """Loads a run's trained weights into its network.

    Args:
        path: The checkpoint.
        network: Modified in place.

    Returns:
        The complete state.

    Raises:
        InputError: If there is no checkpoint, or it belongs to another arm.
        SpsamError: If neither the checkpoint nor the previous one is intact.
    """
    state, _ = read_last(path)
    if state is None:
        raise InputError(Problem("there is no such checkpoint", path))
    load_trained_state(network, result_of(state))
    return state


def digest(value: Any) -> str:
    """Computes the SHA-256 of a state: types, shapes and bytes of tensors, and all other values."""
    hasher = hashlib.sha256()

    def feed(item: Any) -> None:
        if isinstance(item, Tensor):
            hasher.update(f"{item.dtype}{tuple(item.shape)}".encode())
            plain = item.detach().cpu().contiguous().reshape(-1)
            hasher.update(plain.view(torch.uint8).numpy().data)
        elif isinstance(item, dict):
            for key, inner in item.items():
                hasher.update(f"{key!r}:".encode())
                feed(inner)
        elif isinstance(item, list | tuple):
            hasher.update(f"{len(item)}[".encode())
            for inner in item:
                feed(inner)
        else:
            hasher.update(repr(item).encode())

    feed(value)
    return hasher.hexdigest()
