"""Available and peak memory of this process."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

import psutil

_STATUS = Path("/proc/self/status")


def memory_at_hand() -> int:
    """Return the bytes that this process may still allocate.

    This is the smallest of the machine's free memory and the limits of control groups and process.
    """
    free = [int(psutil.virtual_memory().available)]
    free += _left_to_groups()
    if sys.platform != "win32":
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        if limit != resource.RLIM_INFINITY:
            free.append(limit - int(psutil.Process().memory_info().vms))
    return max(0, min(free))


def peak_resident() -> int:
    """Return the peak resident memory in bytes."""
    try:
        for line in _STATUS.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    if sys.platform == "win32":
        used = psutil.Process().memory_info()
        return int(getattr(used, "peak_wset", used.rss))
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _left_to_groups() -> list[int]:
    """Return the free memory of each Linux control group (v2), as set by containers and Slurm."""
    free = []
    with suppress(OSError, IndexError):
        own = Path("/proc/self/cgroup").read_text(encoding="utf-8").strip().split("0::/")[1]
        top = Path("/sys/fs/cgroup")
        for group in (top / own, *(top / parent for parent in Path(own).parents)):
            # A group without a limit contains `max` instead of a number, or has no such file.
            with suppress(OSError, ValueError):
                limit, used = (
                    int((group / f"memory.{name}").read_text(encoding="utf-8"))
                    for name in ("max", "current")
                )
                # The page cache counts as used, but is released when memory is needed.
                stat = (group / "memory.stat").read_text(encoding="utf-8").split()
                cached = int(stat[stat.index("inactive_file") + 1])
                free.append(limit - used + cached)
    return free
