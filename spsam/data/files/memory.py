"""How much memory may still be taken."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

import psutil


def memory_at_hand() -> int:
    """Bytes that this process may still take: of the machine, its group's and its own limit."""
    free = [int(psutil.virtual_memory().available)]
    free += _left_to_groups()
    if sys.platform != "win32":
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        if limit != resource.RLIM_INFINITY:
            free.append(limit - int(psutil.Process().memory_info().vms))
    return max(0, min(free))


def _left_to_groups() -> list[int]:
    """What containers and batch systems leave to this process (Linux's control groups, v2)."""
    free = []
    with suppress(OSError, IndexError):
        own = Path("/proc/self/cgroup").read_text(encoding="utf-8").strip().split("0::/")[1]
        top = Path("/sys/fs/cgroup")
        for group in (top / own, *(top / parent for parent in Path(own).parents)):
            # A group without a limit has `max` for a number, or no such file.
            with suppress(OSError, ValueError):
                limit, used = (
                    int((group / f"memory.{name}").read_text(encoding="utf-8"))
                    for name in ("max", "current")
                )
                # Files that were read count as used, and are given up where memory is wanted.
                stat = (group / "memory.stat").read_text(encoding="utf-8").split()
                cached = int(stat[stat.index("inactive_file") + 1])
                free.append(limit - used + cached)
    return free
