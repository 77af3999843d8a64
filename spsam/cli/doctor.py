"""`spsam doctor`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spsam.cli.options import AsJson, Checkpoint, Out

if TYPE_CHECKING:
    from spsam.studies.doctor.finding import Finding

EPILOG = "Example: spsam doctor --data path/to/ACDC --checkpoint sam_vit_b_01ec64.pth"
_ARM = "S9"
_MARKS = {"ok": "ok", "note": "note", "wrong": "WRONG"}


def doctor(
    data: Annotated[
        str | None, typer.Option(help="Data set to check: `phantom` or a folder [default: none].")
    ] = None,
    checkpoint: Checkpoint = None,
    storage: Annotated[
        str | None,
        typer.Option(help="Optuna's journal file or database URL [default: the sweep's folder]."),
    ] = None,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Check this machine: software, GPUs, storage, files and training steps.

    The exit code is 1 if a check fails. No files are kept.
    """
    from spsam.config.places import home
    from spsam.studies.doctor.examine import examine
    from spsam.studies.doctor.finding import Examination

    examined = Examination(
        home=home(out), arm=_ARM, data=data, checkpoint=_named(checkpoint), storage=storage
    )
    found = examine(examined, tell=(lambda finding: None) if as_json else _show)
    if as_json:
        typer.echo(json.dumps(found.to_dict(), indent=2))
    elif found.wrong:
        first, *more = found.wrong
        rest = f" ({len(more)} more above)" if more else ""
        typer.echo(f"\nfix first: {first.check}: {first.mend or first.text}{rest}")
    else:
        typer.echo("\nall checks passed")
    raise typer.Exit(1 if found.wrong else 0)


def _named(path: Path | None) -> Path | None:
    return None if path is None else path.expanduser()


def _show(finding: Finding) -> None:
    typer.echo(f"{_MARKS[finding.status]:6}{finding.check:14}{finding.text}")
    if finding.mend:
        typer.echo(f"{'':20}{finding.mend}")
