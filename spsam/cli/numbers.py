"""Checks the numbers passed as options: finite, and not too large."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from spsam.config.numbers import unusable
from spsam.errors import InputError, Problem


def bounded(verb: Callable[..., None]) -> Callable[..., None]:
    """Wraps a command to reject options with numbers that are not finite or too large."""

    @functools.wraps(verb)
    def checked(**options: Any) -> None:
        wrong = [
            Problem(f"--{str(path[0]).replace('_', '-')}: {message}")
            for path, message in unusable(options)
        ]
        if wrong:
            raise InputError(wrong)
        verb(**options)

    return checked
