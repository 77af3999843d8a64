"""Warnings that stand before a command's own output, on the error stream."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from spsam.model.sam.origin import Origin


def weights_lines(origins: Iterable[Origin | None]) -> list[str]:
    """A header's lines on where SAM's weights come from, each once."""
    told = [f"{o.backbone}: {o}" + (f", {o.file}" if o.file else "") for o in origins if o]
    return [f"weights   {text}" for text in dict.fromkeys(told)]


def warn_of_weights(origins: Iterable[Origin | None]) -> None:
    """Warns of every file of weights that is not what a user may take it for."""
    warnings = [origin.warning for origin in origins if origin and origin.warning]
    for text in dict.fromkeys(warnings):
        typer.echo(f"warning: {text}", err=True)
