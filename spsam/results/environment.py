"""What a run ran in: enough to say later why two runs differ."""

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

# Where the code that computes is, if it is a checkout.
_CODE = Path(spsam.__file__).resolve().parents[1]

# What a repository's configuration lets `git status` run.
_NO_PROGRAMS = (
    *("-c", "core.fsmonitor=false"),
    *("-c", f"core.hooksPath={os.devnull}"),
    *("-c", "core.pager=cat"),
    *("-c", "submodule.recurse=false"),
)


def environment(device: str) -> dict[str, Any]:
    """Python, platform, versions, git state of spsam's own checkout, processors.

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
        "git": git_state(_CODE),
        "cpus": os.cpu_count(),
        "threads": None if torch is None else torch.get_num_threads(),
        "device": device,
        "device_name": _device_name(torch, device),
    }


def git_state(folder: Path) -> dict[str, Any] | None:
    """Commit and whether files differ from it; None without git.

    Args:
        folder: The top of a checkout; None is returned for any other folder: a repository around
            it is somebody else's, and its configuration may name programs that git would run.
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
            # Reading must not take the index's lock from a git that works beside us.
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
    # GIT_DIR and its like would lead git to another repository, or to another configuration.
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
