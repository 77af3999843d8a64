"""State of a training of SAM: its checkpoints, its log, and the lock on both."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from torch import nn

from spsam.config.pretrain import PretrainRecipe
from spsam.engine.checkpoint import previous, read_last, save_whole
from spsam.errors import InputError, Problem
from spsam.text.json_text import parse_json

_PARTS = "parts"


@contextmanager
def locked(checkpoint: Path) -> Iterator[None]:
    """Prevents other processes from training with the same files.

    Args:
        checkpoint: The checkpoint to lock.

    Raises:
        InputError: If another process holds the lock.
    """
    file = checkpoint.with_name(f".{checkpoint.name}.lock")
    file.parent.mkdir(parents=True, exist_ok=True)
    held = FileLock(file)
    try:
        held.acquire(timeout=0)
    except Timeout as error:
        message = "another process trains with this file: wait for it, or choose another --save"
        raise InputError(Problem(message, checkpoint)) from error
    try:
        yield
    finally:
        with suppress(OSError):
            file.unlink()
        held.release()


def save(
    checkpoint: Path,
    recipe: PretrainRecipe,
    steps: int,
    parts: nn.Module,
    optimizer: torch.optim.Optimizer,
) -> None:
    """Writes a checkpoint and keeps the previous one.

    Args:
        checkpoint: The file.
        recipe: Recipe of the training.
        steps: Number of finished steps.
        parts: Modules to save.
        optimizer: Optimiser to save.
    """
    state = {
        "about": {"recipe": recipe.model_dump(mode="json")},
        "steps": steps,
        _PARTS: parts.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    save_whole(checkpoint, state, keep=True)


def resume(
    checkpoint: Path,
    recipe: PretrainRecipe,
    parts: nn.Module,
    optimizer: torch.optim.Optimizer,
    on_note: Callable[[str], None],
) -> int:
    """Loads the last intact checkpoint.

    Args:
        checkpoint: The file.
        recipe: Recipe of the training.
        parts: Modules to restore.
        optimizer: Optimiser to restore.
        on_note: Called with a note if a checkpoint is damaged.

    Returns:
        Number of finished steps, 0 without a checkpoint.

    Raises:
        InputError: If the checkpoint belongs to another recipe.
        SpsamError: If there are checkpoints but none is intact.
    """
    state, note = read_last(checkpoint, _PARTS)
    if note:
        on_note(note)
    if state is None:
        return 0
    before, now = state.get("about", {}).get("recipe", {}), recipe.model_dump(mode="json")
    changed = [key for key in now if before.get(key) != now[key]]
    if changed:
        told = ", ".join(f"{key} was {before.get(key)}, is {now[key]}" for key in changed)
        message = f"belongs to a training with another recipe ({told}): "
        advice = "use that recipe, choose another --save, or remove the file to restart"
        raise InputError(Problem(message + advice, checkpoint))
    parts.load_state_dict(state[_PARTS])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["steps"])


def remove(checkpoint: Path) -> None:
    """Removes the checkpoints of a finished training."""
    for file in (checkpoint, previous(checkpoint)):
        file.unlink(missing_ok=True)


def lines_until(log: Path, step: int, on_note: Callable[[str], None]) -> list[str]:
    """Reads the lines of a log up to a step; later steps are repeated.

    Args:
        log: The file.
        step: Last step to keep.
        on_note: Called with the number of damaged lines, if any.
    """
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    steps = [_step(line) for line in lines]
    if None in steps:
        on_note(f"{log}: {steps.count(None)} damaged lines are skipped")
    return [line for line, at in zip(lines, steps, strict=True) if at is not None and at <= step]


def _step(line: str) -> int | None:
    try:
        return int(parse_json(line)["step"])
    except (ValueError, TypeError, KeyError):
        return None
