"""Takes from spsam what the system of SPSAM_LIKE has not; every Python process imports it first.

Only modules of spsam see less: libraries have builds of their own for each system.
"""

from __future__ import annotations

import builtins
import multiprocessing.context
import os
import pathlib
import signal
import sys
import warnings
from types import ModuleType
from typing import Any

WINDOWS = os.environ["SPSAM_LIKE"] == "windows"
NO_MODULES = {"fcntl", "grp", "pwd", "resource", "termios"} if WINDOWS else set()
# What neither macOS nor Windows has, and what only Windows lacks.
NOWHERE = {"posix_fallocate", "posix_fadvise", "sched_getaffinity", "sched_setaffinity"}
POSIX = {
    *("fork", "forkpty", "getuid", "geteuid", "getpgid", "getpgrp", "killpg", "setsid", "statvfs"),
    *("uname", "getloadavg", "chown", "mkfifo", "SIGALRM", "SIGCHLD", "SIGHUP", "SIGKILL"),
    *("SIGPIPE", "SIGQUIT", "SIGUSR1", "SIGUSR2", "alarm", "pause", "pthread_sigmask"),
}
MISSING = NOWHERE | POSIX if WINDOWS else NOWHERE


class Less(ModuleType):
    """A module without some names, and with other values for some."""

    def __init__(self, module: ModuleType, **values: object) -> None:
        super().__init__(module.__name__)
        object.__setattr__(self, "_module", module)
        object.__setattr__(self, "_values", values)

    def __getattr__(self, name: str) -> Any:
        if name in MISSING:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r} here")
        return self._values[name] if name in self._values else getattr(self._module, name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._module, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._module, name)


LESS = {
    "os": Less(os, name="nt") if WINDOWS else Less(os),
    "signal": Less(signal),
    "sys": Less(sys, platform="win32" if WINDOWS else "darwin"),
}
real_import = builtins.__import__


def less_import(
    name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0
) -> ModuleType:
    """What `import` calls."""
    if level == 0 and str((globals or {}).get("__name__", "")).partition(".")[0] == "spsam":
        if name in NO_MODULES:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        if name in LESS:
            return LESS[name]
    return real_import(name, globals, locals, fromlist, level)


def is_kernels(path: pathlib.Path) -> bool:
    """Whether a path lies below /proc or /sys."""
    return path.parts[1:2] in (("proc",), ("sys",))


real_open, real_stat = pathlib.Path.open, pathlib.Path.stat


def less_open(  # noqa: PLR0917 - as the method itself
    path: pathlib.Path,
    mode: str = "r",
    buffering: int = -1,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
) -> Any:
    """`Path.open`."""
    if is_kernels(path):
        raise FileNotFoundError(2, "No such file or directory", str(path))
    caller = str(sys._getframe(1).f_globals.get("__name__", ""))
    if "b" not in mode and encoding is None and caller.partition(".")[0] == "spsam":
        raise EncodingWarning(f"{path}: opened without an encoding")
    return real_open(path, mode, buffering, encoding, errors, newline)


def less_stat(path: pathlib.Path, **options: Any) -> os.stat_result:
    """`Path.stat`."""
    if is_kernels(path):
        raise FileNotFoundError(2, "No such file or directory", str(path))
    return real_stat(path, **options)


builtins.__import__ = less_import
pathlib.Path.open, pathlib.Path.stat = less_open, less_stat  # type: ignore[assignment]
if WINDOWS:
    contexts = multiprocessing.context._concrete_contexts  # type: ignore[attr-defined]
    for kind in ("fork", "forkserver"):
        contexts.pop(kind)

    def all_methods(*_: object) -> list[str]:
        """As on Windows."""
        return ["spawn"]

    multiprocessing.context.DefaultContext.get_all_start_methods = all_methods  # type: ignore[assignment]
    multiprocessing.get_all_start_methods = (  # type: ignore[assignment]
        multiprocessing.context._default_context.get_all_start_methods  # type: ignore[attr-defined]
    )
multiprocessing.set_start_method("spawn", force=True)
# Without an encoding, Windows reads and writes by its code page.
warnings.filterwarnings("ignore", category=EncodingWarning)
warnings.filterwarnings("error", category=EncodingWarning, module=r"spsam(\.|$)")
