"""A campaign: many mutations of one kind of input, each repeatable from the seed and its number."""

from __future__ import annotations

import faulthandler
import random
import resource
import shutil
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from signal import ITIMER_REAL, SIG_DFL, SIGALRM, setitimer, signal
from typing import Any

import psutil

from spsam.errors import InputError, SpsamError

SECONDS = 20.0
"""No mutation takes longer."""

BYTES = 6e9
"""Nor makes the process take more than this beside what it had."""


class OtherError(AssertionError):
    """What was read is not what an independent reader, or whoever wrote it, says."""


class Hang(BaseException):
    """A mutation took too long. No `Exception`: nobody catches it on its way."""


@dataclass(frozen=True)
class Attempt:
    """One mutated input.

    Attributes:
        what: The mutation in words, for whoever repeats it.
        use: Reads it as a user's command would; raises what that raises.
        compare: Takes what was read and says how it relates to what an independent reader makes
            of the same input, e.g. `as nibabel`; raises `OtherError` where they differ.
    """

    what: str
    use: Callable[[], Any]
    compare: Callable[[Any], str]


Make = Callable[[random.Random, Path], Attempt]


@dataclass(frozen=True)
class Campaign:
    """A kind of input.

    Attributes:
        name: Of the kind.
        start: Makes the unmutated input in an empty folder, and what mutates it: a function of
            a source of randomness and an empty folder.
        count: Mutations of a whole campaign.
        refusal: What a mutation may be refused with.
    """

    name: str
    start: Callable[[Path], Make]
    count: int
    refusal: type[SpsamError] = InputError


@dataclass
class Outcome:
    """What became of a campaign's mutations.

    Attributes:
        counts: How many ended in each way.
        faults: Those that should not have ended as they did: number, and why.
        slowest: Seconds, and the number.
        peak: Bytes that the process had at most.
        seconds: Of the whole.
    """

    counts: Counter[str] = field(default_factory=Counter)
    faults: list[tuple[int, str]] = field(default_factory=list)
    slowest: tuple[float, int] = (0.0, 0)
    peak: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        ends = ", ".join(f"{count} {name}" for name, count in self.counts.most_common())
        cost = f"slowest {self.slowest[0]:.2f} s (number {self.slowest[1]})"
        return f"{ends}; {cost}; peak {self.peak / 1e9:.2f} GB; {self.seconds:.0f} s in all"


def run(
    campaign: Campaign, folder: Path, seed: int, numbers: range, *, dead: bool = False
) -> Outcome:
    """Tries mutations.

    Args:
        campaign: Of which kind.
        folder: Where inputs are made, empty.
        seed: Of the campaign; number n of a seed is the same mutation whatever came before.
        numbers: Which.
        dead: Whether the process ends where code that Python cannot interrupt takes too long.
    """
    base, outcome, begun = folder / "base", Outcome(), time.monotonic()
    base.mkdir(parents=True)
    make = campaign.start(base)
    held = psutil.Process().memory_info().rss
    for number in numbers:
        # Names of their own: readers that keep what they read by name are kept out of this.
        own = folder / f"{number}"
        own.mkdir()
        draw = random.Random(f"{campaign.name} {seed} {number}")
        attempt = make(draw, own)
        taken = time.monotonic()
        try:
            with _watched(dead):
                end = _end(campaign, attempt)
        except (Exception, Hang) as error:
            end = "faults"
            why = f"{attempt.what}: {type(error).__name__}: {str(error)[:300]}"
            outcome.faults.append((number, f"{why}\n{_where(error)}"))
        taken = time.monotonic() - taken
        outcome.counts[end] += 1
        outcome.slowest = max(outcome.slowest, (taken, number))
        shutil.rmtree(own)
        peak = _peak()
        if peak - held > BYTES:
            outcome.faults.append((number, f"{attempt.what}: took {(peak - held) / 1e9:.1f} GB"))
            held = peak
        outcome.peak = max(outcome.peak, peak)
    outcome.seconds = time.monotonic() - begun
    return outcome


def _end(campaign: Campaign, attempt: Attempt) -> str:
    try:
        found = attempt.use()
    except campaign.refusal as error:
        if not str(error).strip():
            raise AssertionError("refused without a word") from error
        return "refused"
    return attempt.compare(found)


def _where(error: BaseException) -> str:
    return "".join(traceback.format_tb(error.__traceback__)[-4:])


@contextmanager
def _watched(dead: bool) -> Iterator[None]:
    """Ends what takes too long, between two instructions of Python's at the latest."""

    def end(number: int, frame: Any) -> None:
        raise Hang(f"took more than {SECONDS:g} s")

    signal(SIGALRM, end)
    setitimer(ITIMER_REAL, SECONDS)
    if dead:
        faulthandler.dump_traceback_later(3 * SECONDS, exit=True)
    try:
        yield
    finally:
        if dead:
            faulthandler.cancel_dump_traceback_later()
        setitimer(ITIMER_REAL, 0)
        signal(SIGALRM, SIG_DFL)


def _peak() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
