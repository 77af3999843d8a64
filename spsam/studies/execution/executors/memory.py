"""Estimation of whether another run fits into this machine's memory."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress

import psutil

from spsam.errors import SpsamError
from spsam.studies.planning.plan import Ablation

_ROOM = 0.9
"""Fraction of the available memory that runs may use."""
_ENGINE = 1.5e9
"""Bytes of a run besides its parameters, until the first run has been measured."""
_SECONDS_BETWEEN_LOOKS = 2.0


class Memory:
    """Estimates the memory of a run from the observed runs.

    Args:
        known: Bytes of a run, if known in advance; else 0.
    """

    def __init__(self, known: float = 0) -> None:
        self._largest = known
        self._now: dict[int, int] = {}
        self._looked = 0.0

    def suffices(self, at_work: Iterable[int]) -> bool:
        """Whether another run of the largest observed size fits, assuming all reach this size.

        Args:
            at_work: Ids of the runs' processes.
        """
        ids = set(at_work)
        if not ids:
            return True  # a single run is always allowed
        if time.monotonic() - self._looked > _SECONDS_BETWEEN_LOOKS:
            self._looked = time.monotonic()
            self._now = {pid: _resident(pid) for pid in ids}
            self._largest = max([self._largest, *self._now.values()])
        still = sum(self._largest - self._now.get(pid, 0) for pid in ids)
        return self._largest + still <= _ROOM * psutil.virtual_memory().available


def expected(ablation: Ablation) -> float:
    """Returns the bytes of the study's largest run, as recorded or else from its parameters."""
    known = [_recorded(ablation), 0.0]
    for arm in ablation.arms:
        # Weights, and gradients and two moments of the trained ones.
        known.append(_ENGINE + 4 * arm.size.total + 12 * arm.size.trained)
    return known[0] or max(known)


def _recorded(ablation: Ablation) -> float:
    most = 0.0
    for _, run in ablation.runs:
        with suppress(SpsamError):
            cost = run.folder.read().get("cost", {})
            if cost.get("peak_memory_of") == "process":
                most = max(most, float(cost.get("peak_memory_bytes", 0)))
    return most


def _resident(pid: int) -> int:
    """Returns the resident memory of a process and its children, in bytes."""
    total = 0
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        for member in [process, *process.children(recursive=True)]:
            with suppress(psutil.Error):
                total += member.memory_info().rss
    return total
