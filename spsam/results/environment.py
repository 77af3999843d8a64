"""What a run ran in: enough to say later why two runs differ."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import spsam

# Those whose version may change a number.
_PACKAGES = (
    "torch",
    "torchvision",
    "timm",
    "segment-anything",
    "numpy",
    "scipy",
    "SimpleITK",
    "batchgeneratorsv2",
    "edt",
    "monai",
    "pydantic",
    "mlflow",
)


def environment(device: str) -> dict[str, Any]:
    """Python, platform, versions, git state of the current folder, processors.

    Args:
        device: The device that the run computes on, e.g. `cpu`.
    """
    # Looked up, not imported: reading a record must not cost an import of torch.
    torch = sys.modules.get("torch")
    return {
        "spsam": spsam.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: found for name in _PACKAGES if (found := _version(name))},
        "git": git_state(Path.cwd()),
        "cpus": os.cpu_count(),
        "threads": None if torch is None else torch.get_num_threads(),
        "device": device,
        "device_name": _device_name(torch, device),
    }


def git_state(folder: Path) -> dict[str, Any] | None:
    """Commit and whether files differ from it; None outside a repository or without git."""
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return None
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return {"commit": commit, "dirty": None if changes is None else bool(changes)}


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            # Reading must not take the index's lock from a git that works beside us.
            ["git", "--no-optional-locks", *arguments],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _device_name(torch: Any, device: str) -> str:
    if torch is not None and device.startswith("cuda"):
        return str(torch.cuda.get_device_name(device))
    return platform.processor() or platform.machine()
