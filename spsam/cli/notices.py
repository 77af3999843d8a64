"""Warnings on stderr, before a command's own output."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from spsam.model.sam.origin import Origin


def weights_lines(origins: Iterable[Origin | None]) -> list[str]:
    """Header lines about the origin of SAM's weights, without repetitions."""
    told = [f"{origin.backbone}: {_source(origin)}" for origin in origins if origin]
    return [f"weights   {text}" for text in dict.fromkeys(told)]


def _source(origin: Origin) -> str:
    if origin.kind == "official" and origin.file is None:
        # Only a dry run permits official weights to be missing.
        return "the official file is assumed"
    return f"{origin}, {origin.file}" if origin.file else str(origin)


def warn_of_weights(origins: Iterable[Origin | None]) -> None:
    """Prints the warnings about files of weights, without repetitions."""
    warnings = [origin.warning for origin in origins if origin and origin.warning]
    for text in dict.fromkeys(warnings):
        typer.echo(f"warning: {text}", err=True)
