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
"""What `torch.load` raises on files that are not what they seem."""


CHECKSUM = "sha256"
"""In the metadata of a safetensors file of ours: of its weights, by `state_sha256`."""


def state_sha256(state: Mapping[str, Tensor]) -> str:
    """The sha-256 of named weights: names, types, shapes and bytes, in the names' order."""
    digest = hashlib.sha256()
    for name, value in sorted(state.items()):
        digest.update(f"{name}:{value.dtype}{tuple(value.shape)}".encode())
        plain = value.detach().cpu().contiguous().reshape(-1)
        digest.update(plain.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def file_sha256(path: Path) -> str:
    """The sha-256 of a file, hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def read_state(path: Path) -> dict[str, Tensor]:
    """Reads a flat state dict without running anything that the file might contain.

    Raises:
        InputError: If the path is no file, the file is no PyTorch file, is cut short, or holds
            something else than named tensors.
    """
    if not path.is_file():
        kind = "is a folder, not a file" if path.is_dir() else "does not exist"
        raise InputError(f"{path} {kind}; give the path of a SAM checkpoint")
    if path.suffix == ".safetensors":
        return _flat_state(path, _safetensors(path))
    with path.open("rb") as file:
        start = file.read(4)
    is_zip = start == b"PK\x03\x04"
    if not is_zip and start[:1] != b"\x80":
        raise InputError(
            f"{path} is not a PyTorch file (it begins with {start!r}); give a SAM checkpoint "
            "such as sam_vit_b_01ec64.pth"
        )
    if is_zip and _lacks_its_end(path):
        raise InputError(
            f"{path} is cut short ({path.stat().st_size} bytes, its end is missing); "
            "download or copy it again"
        )
    try:
        if is_zip:
            _verify(path)
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except UNREADABLE as error:
        reason = str(error).strip().split("\n")[0][:120] or type(error).__name__
        raise InputError(
            f"{path} cannot be read as PyTorch weights ({reason}); it is damaged or holds more "
            "than weights, so download or copy it again"
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
            raise ValueError("its weights have another checksum")
        return state
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(
            f"{path} cannot be read as safetensors ({error}); it is damaged or cut short, so copy "
            "or make it again"
        ) from error


def _flat_state(path: Path, state: object) -> dict[str, Tensor]:
    """The state dict, or a refusal that says what the file holds instead."""
    if not isinstance(state, Mapping):
        raise InputError(
            f"{path} holds a {type(state).__name__}, expected SAM's state dict (names to weights)"
        )
    if not any(str(name).startswith("image_encoder.") for name in state):
        names = ", ".join(str(name) for name in list(state)[:4]) or "nothing"
        raise InputError(
            f"{path} holds {names}…, expected the names of SAM's own checkpoints "
            "(image_encoder.…, prompt_encoder.…, mask_decoder.…); give the whole SAM, unwrapped"
        )
    other = [str(name) for name, value in state.items() if not isinstance(value, Tensor)]
    if other:
        raise InputError(f"{path} holds something else than weights under {', '.join(other[:4])}")
    wild = [str(name) for name, value in state.items() if not bool(value.isfinite().all())]
    if wild:
        raise InputError(
            f"{path}: {len(wild)} of its weights hold NaN or infinity ({', '.join(wild[:4])}): the "
            "file is damaged; copy or download it again"
        )
    return {str(name): value for name, value in state.items()}


def _verify(path: Path) -> None:
    """Holds every member of a zip file against its CRC-32, which torch does not."""
    with zipfile.ZipFile(path) as archive:
        if (name := archive.testzip()) is not None:
            raise zipfile.BadZipFile(f"{name} has another checksum")


def _lacks_its_end(path: Path) -> bool:
    """Whether a zip file's directory, which is written last, is not there."""
    try:
        return not zipfile.is_zipfile(path)
    except zipfile.BadZipFile:
        return False  # it is there, and damaged
