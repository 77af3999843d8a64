"""Software and hardware of a run, recorded to explain differences between runs."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import spsam

# Packages whose version may affect a number.
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

# Root of spsam's own code, if it is a checkout.
_CODE = Path(spsam.__file__).resolve().parents[1]

# Options that disable programs which a repository's configuration could make `git status` run.
_NO_PROGRAMS = (
    *("-c", "core.fsmonitor=false"),
    *("-c", f"core.hooksPath={os.devnull}"),
    *("-c", "core.pager=cat"),
    *("-c", "submodule.recurse=false"),
)


def environment(device: str) -> dict[str, Any]:
    """Collect Python, platform, package versions, git state of spsam's checkout, and processors.

    Args:
        device: The device of the run, for example `cpu`.

    Returns:
        Values that can be written as JSON.
    """
    # Not imported, because reading a record must not import torch.
    torch = sys.modules.get("torch")
    return {
        "spsam": spsam.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: found for name in _PACKAGES if (found := _version(name))},
        "git": git_state(_CODE),
        "cpus": os.cpu_count(),
        "threads": None if torch is None else torch.get_num_threads(),
        "device": device,
        "device_name": _device_name(torch, device),
    }


def git_state(folder: Path) -> dict[str, Any] | None:
    """Return the commit of a checkout and whether tracked files differ from it.

    Args:
        folder: Root of a checkout. A repository in a parent folder is not used: it is not spsam's,
            and its configuration may name programs that git would run.

    Returns:
        `commit` and `dirty`; None if the folder is not the root of a checkout, or without git.
    """
    if not (folder / ".git").exists():
        return None
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return None
    changes = _git(
        folder, "status", "--porcelain", "--untracked-files=no", "--ignore-submodules=all"
    )
    return {"commit": commit, "dirty": None if changes is None else bool(changes)}


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            # Reading must not take the index lock, which a concurrent git command may need.
            ["git", "--no-optional-locks", *_NO_PROGRAMS, *arguments],
            cwd=folder,
            env=_without_git(os.environ) | {"GIT_CEILING_DIRECTORIES": str(folder.parent)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _without_git(environ: Mapping[str, str]) -> dict[str, str]:
    # Variables such as GIT_DIR select another repository or configuration.
    return {name: value for name, value in environ.items() if not name.startswith("GIT_")}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _device_name(torch: Any, device: str) -> str:
    if torch is not None and device.startswith("cuda"):
        return str(torch.cuda.get_device_name(device))
    return platform.processor() or platform.machine()
