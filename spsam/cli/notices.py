"""Warnings on stderr, before a command's own output."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from spsam.model.sam.origin import Origin


def weights_lines(origins: Iterable[Origin | None]) -> list[str]:
    """Header lines about the origin of SAM's weights, without repetitions."""
    told = [f"{o.backbone}: {o}" + (f", {o.file}" if o.file else "") for o in origins if o]
    return [f"weights   {text}" for text in dict.fromkeys(told)]


def warn_of_weights(origins: Iterable[Origin | None]) -> None:
    """Prints the warnings about files of weights, without repetitions."""
    warnings = [origin.warning for origin in origins if origin and origin.warning]
    for text in dict.fromkeys(warnings):
        typer.echo(f"warning: {text}", err=True)
