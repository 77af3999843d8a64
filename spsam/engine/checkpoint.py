"""A run's checkpoint: what trains and where training stands, without SAM's frozen weights."""

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
# What a state must hold, in words.
_NAMED = {"blocks": "weights of added blocks"}


def trained_state(network: Network) -> dict[str, Tensor]:
    """Weights of the added blocks by name."""
    return {
        name: value
        for slot, block in network.blocks().items()
        for name, value in block.state_dict(prefix=f"{slot}.").items()
    }


def load_trained_state(network: Network, state: dict[str, Tensor]) -> None:
    """Puts weights into the added blocks.

    Raises:
        InputError: If names or shapes are not exactly the network's.
    """
    expected = trained_state(network)
    missing = sorted(expected.keys() - state.keys())
    unexpected = sorted(state.keys() - expected.keys())
    if missing or unexpected:
        raise InputError(
            "the checkpoint is of another arm: "
            f"missing {missing[:3] or 'nothing'}, unexpected {unexpected[:3] or 'nothing'}"
        )
    other = [name for name in sorted(state) if state[name].shape != expected[name].shape]
    if other:
        came, wanted = (tuple(each[other[0]].shape) for each in (state, expected))
        raise InputError(
            f"the checkpoint is of another arm or version: {other[0]} has the shape {came}, "
            f"expected {wanted}; train anew"
        )
    for slot, block in network.blocks().items():
        start = f"{slot}."
        block.load_state_dict(
            {name[len(start) :]: value for name, value in state.items() if name.startswith(start)}
        )


def result_of(state: State) -> dict[str, Tensor]:
    """The weights that a training results in: the best, where it chooses them, else the last.

    Args:
        state: Of a checkpoint. Of a training that goes on, its best so far; the last before there
            are any.
    """
    blocks: dict[str, Tensor] = (state.get("best") or state)["blocks"]
    return blocks


def previous(path: Path) -> Path:
    """Where the checkpoint before the last is kept: `checkpoint.previous.pt`."""
    return path.with_suffix(".previous.pt")


def save_whole(path: Path, state: State, *, keep: bool = False) -> None:
    """Writes a state so that neither a kill nor a power cut leaves half of it.

    Into a neighbour first, which reaches the disk before it takes the file's name; with a hash of
    the content, by which a damaged disk or copy is noticed.

    Args:
        path: The file; torch's format.
        state: Tensors and plain values.
        keep: Whether the file that is there stays, as `previous(path)`.

    Raises:
        SpsamError: If the disk is full or not writable; what was there is as it was.
    """
    content = io.BytesIO()
    torch.save({**state, _DIGEST: digest(state)}, content)
    try:
        with atomic(path, durable=True, keep=previous(path) if keep else None) as draft:
            draft.write_bytes(content.getbuffer())
    except OSError as error:
        raise SpsamError(
            f"{path}: the checkpoint cannot be written: {error.strerror}; the one before is as it "
            "was: make room and give the same command to resume from it"
        ) from error


def read_whole(path: Path, needed: str = "blocks") -> State:
    """Reads what `save_whole` wrote, and verifies it.

    Args:
        path: The file.
        needed: What a state of its kind holds, by its key.

    Raises:
        InputError: If the file is damaged.
    """
    try:
        state: State = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(state, dict) or needed not in state:
            raise ValueError(f"no {_NAMED.get(needed, needed)} are in it")
        found = state.pop(_DIGEST, None)
        # Checkpoints of the first version have no hash, and no word on their run.
        sound = found == digest(state) if found or "about" in state else True
    except pickle.UnpicklingError as error:
        # The library's own words advise to run whatever is in the file.
        message = "is no checkpoint, or a damaged one: it holds no weights, or more than weights"
        raise InputError(Problem(message, path)) from error
    except UNREADABLE as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(Problem(f"is no checkpoint, or a damaged one: {reason}", path)) from error
    if not sound:
        raise InputError(Problem("the checkpoint is damaged: its content has another hash", path))
    return state


def read_last(path: Path, needed: str = "blocks") -> tuple[State | None, str]:
    """The last sound checkpoint of a run, and what the user should know about it.

    Returns:
        None where there is none yet; a note, empty where the last one is sound.

    Raises:
        SpsamError: If there are checkpoints and none is sound.
    """
    state, note, broken = last_sound(path, needed)
    if state is None and broken:
        raise SpsamError("; ".join([*broken, "remove these files to begin the run anew"]))
    return state, note


def last_sound(path: Path, needed: str = "blocks") -> tuple[State | None, str, list[str]]:
    """As `read_last`; and what is wrong with each file that is not sound."""
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
        return state, f"{note}; going on from {file.name}" if note else "", broken
    return None, "", broken


def load_checkpoint(path: Path, network: Network) -> State:
    """Puts a run's trained weights into its network.

    Returns:
        The whole state.

    Raises:
        InputError: If there is no checkpoint, or it is of another arm.
        SpsamError: If it is damaged, and the one before it too.
    """
    state, _ = read_last(path)
    if state is None:
        raise InputError(Problem("there is no such checkpoint", path))
    load_trained_state(network, result_of(state))
    return state


def digest(value: Any) -> str:
    """The sha-256 of a state's content: every tensor's type, shape and bytes, every other value."""
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
