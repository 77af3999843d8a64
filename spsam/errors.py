"""Errors that a user can act on. The lowest layer: everything may import it, it imports nothing."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_LONGEST = 200


@dataclass(frozen=True)
class Problem:
    """One mistake in an input: what was expected, what came, what to do.

    Attributes:
        message: One sentence.
        file: The file the mistake stands in, if it stands in one.
        line: The line in that file, counted from 1.
    """

    message: str
    file: Path | None = None
    line: int | None = None

    def __str__(self) -> str:
        if self.file is None:
            return self.message
        place = f"{self.file}:{self.line}" if self.line is not None else str(self.file)
        return f"{place}: {self.message}"


class SpsamError(Exception):
    """Base of everything that `spsam` raises on purpose."""


class InputError(SpsamError):
    """The user's input is wrong; the command line ends with exit code 2.

    Args:
        problems: All mistakes found, so that they can be mended in one go.
    """

    def __init__(self, problems: str | Problem | Iterable[Problem]) -> None:
        if isinstance(problems, str):
            problems = [Problem(problems)]
        elif isinstance(problems, Problem):
            problems = [problems]
        self.problems: tuple[Problem, ...] = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def require(*rules: tuple[object, str]) -> None:
    """Refuses values that break rules, with every rule that is broken.

    Args:
        rules: Whether each is kept, and what is said where it is not.

    Raises:
        InputError: If one is broken.
    """
    broken = [Problem(said) for kept, said in rules if not kept]
    if broken:
        raise InputError(broken)


def shortened(text: str, most: int = 60) -> str:
    """What a user gave, as an error shows it: the beginning, if it is long."""
    return text if len(text) <= most else f"{text[:most]}… ({len(text)} characters)"


def nearest(word: str, options: Iterable[str]) -> str:
    """The end of an error message that names the closest option, or lists them all.

    Returns:
        `"; did you mean 'train'?"` where something is close, else `"; known: a, b, c"`.
    """
    known = sorted(options)
    # Comparing is quadratic, and no name is so long.
    close = difflib.get_close_matches(word[:_LONGEST], known, n=1)
    if close:
        return f"; did you mean '{close[0]}'?"
    return f"; known: {', '.join(known)}" if known else ""
