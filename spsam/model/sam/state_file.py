"""Safe reading of files with named weights; damaged files raise an error with the reason."""

from __future__ import annotations

import hashlib
import pickle
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from spsam.errors import InputError

UNREADABLE = (
    pickle.UnpicklingError,
    RuntimeError,
    OSError,
    EOFError,
    ValueError,
    LookupError,
    AttributeError,
    TypeError,
    AssertionError,
    ArithmeticError,
    MemoryError,
    BufferError,
    ImportError,
    SyntaxError,
    struct.error,
    zipfile.BadZipFile,
)
"""Exceptions that `torch.load` raises for damaged or unsuitable files."""


CHECKSUM = "sha256"
"""Key of the weights' `state_sha256` in the metadata of spsam's safetensors files."""


def state_sha256(state: Mapping[str, Tensor]) -> str:
    """Computes the SHA-256 of named weights: names, types, shapes and bytes, sorted by name."""
    digest = hashlib.sha256()
    for name, value in sorted(state.items()):
        digest.update(f"{name}:{value.dtype}{tuple(value.shape)}".encode())
        plain = value.detach().cpu().contiguous().reshape(-1)
        digest.update(plain.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def file_sha256(path: Path) -> str:
    """Computes the SHA-256 of a file, hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def read_state(path: Path) -> dict[str, Tensor]:
    """Reads a flat state dict without executing code from the file.

    Raises:
        InputError: If the path is not a file, or the file is not a PyTorch file, is truncated, or
            contains something other than named tensors.
    """
    if not path.is_file():
        kind = "is a folder, not a file" if path.is_dir() else "does not exist"
        raise InputError(f"{path} {kind}; specify the path of a SAM checkpoint")
    if path.suffix == ".safetensors":
        return _flat_state(path, _safetensors(path))
    with path.open("rb") as file:
        start = file.read(4)
    is_zip = start == b"PK\x03\x04"
    if not is_zip and start[:1] != b"\x80":
        raise InputError(
            f"{path} is not a PyTorch file (it begins with {start!r}); specify a SAM checkpoint "
            "such as sam_vit_b_01ec64.pth"
        )
    if is_zip and _lacks_its_end(path):
        raise InputError(
            f"{path} is truncated ({path.stat().st_size} bytes, its end is missing); "
            "download or copy it again"
        )
    try:
        if is_zip:
            _verify(path)
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except UNREADABLE as error:
        reason = str(error).strip().split("\n")[0][:120] or type(error).__name__
        raise InputError(
            f"{path} cannot be read as PyTorch weights ({reason}); it is damaged or contains "
            "other objects than weights, so download or copy it again"
        ) from error
    return _flat_state(path, state)


def _safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import load_file

    try:
        with safe_open(path, "pt") as file:
            checksum = (file.metadata() or {}).get(CHECKSUM)
        state: dict[str, Tensor] = load_file(path)
        if checksum not in (None, state_sha256(state)):
            raise ValueError("the checksum of its weights does not match")
        return state
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(
            f"{path} cannot be read as safetensors ({error}); it is damaged or truncated, so copy "
            "or create it again"
        ) from error


def _flat_state(path: Path, state: object) -> dict[str, Tensor]:
    """Validates a state dict; an error describes the content of another file."""
    if not isinstance(state, Mapping):
        raise InputError(
            f"{path} contains a {type(state).__name__}, expected SAM's state dict (weights by name)"
        )
    if not any(str(name).startswith("image_encoder.") for name in state):
        names = ", ".join(str(name) for name in list(state)[:4]) or "nothing"
        raise InputError(
            f"{path} contains {names}…, expected the names of SAM's own checkpoints "
            "(image_encoder.…, prompt_encoder.…, mask_decoder.…); specify a complete SAM, "
            "not nested in another dictionary"
        )
    other = [str(name) for name, value in state.items() if not isinstance(value, Tensor)]
    if other:
        raise InputError(f"{path}: expected only weights, got other values: {', '.join(other[:4])}")
    wild = [str(name) for name, value in state.items() if not bool(value.isfinite().all())]
    if wild:
        raise InputError(
            f"{path}: {len(wild)} of its weights contain NaN or infinity ({', '.join(wild[:4])}); "
            "the file is damaged, so download or copy it again"
        )
    return {str(name): value for name, value in state.items()}


def _verify(path: Path) -> None:
    """Verifies the CRC-32 of every member of a zip file, which torch does not."""
    with zipfile.ZipFile(path) as archive:
        if (name := archive.testzip()) is not None:
            raise zipfile.BadZipFile(f"the checksum of {name} does not match")


def _lacks_its_end(path: Path) -> bool:
    """Checks whether a zip file's directory, which is written last, is missing."""
    try:
        return not zipfile.is_zipfile(path)
    except zipfile.BadZipFile:
        return False  # present but damaged
