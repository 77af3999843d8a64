"""`spsam view`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from spsam.cli.options import AsJson, Checkpoint, Device, Out, Plugin

EPILOG = "Example: spsam view spsam-runs/runs/RUN --data path/to/ACDC"


def view(  # noqa: PLR0917 - the command line's options
    named: Annotated[
        list[str],
        typer.Argument(
            metavar="WHAT... [CASE]...",
            help="A study, trained runs (folder or id), or folders of spsam predict; then cases "
            "[default: the worst, the median and the best; of folders the first three].",
        ),
    ],
    data: Annotated[
        str | None, typer.Option(help="Data set of the runs, where it is no built-in one.")
    ] = None,
    images: Annotated[Path | None, typer.Option(help="Scans that a FOLDER is of.")] = None,
    references: Annotated[
        Path | None, typer.Option(help="Label maps to compare a FOLDER with.")
    ] = None,
    prompts: Annotated[
        bool,
        typer.Option(
            "--prompts/--no-prompts",
            help="Ask the networks again for the prompts that they give themselves.",
        ),
    ] = True,
    save: Annotated[
        Path | None,
        typer.Option(help="Folder of the pages [default: view/ there; a study's report/cases/]."),
    ] = None,
    checkpoint: Checkpoint = None,
    device: Device = "auto",
    out: Out = None,
    plugin: Plugin = None,
    as_json: AsJson = False,
) -> None:
    """Write a page a case, to scroll through it in three planes.

    Reference, predictions and prompts are switched on and off. A page is one file and works from
    disk.
    """
    from spsam.cli.progress import watched
    from spsam.config.places import folder_to_be, home
    from spsam.studies.viewing.plan import plan_view, write_views

    planned = plan_view(
        named,
        home=home(out),
        save=save and folder_to_be(save),
        data=data,
        images=images,
        references=references,
        prompts=prompts,
        checkpoint=checkpoint,
        device=device,
        plugins=plugin or (),
    )
    files = watched(lambda watch: write_views(planned, watch))
    if as_json:
        pages = dict(zip(planned.cases, map(str, files), strict=True))
        typer.echo(json.dumps({"pages": pages}, indent=2))
    else:
        typer.echo("\n".join(map(str, files)))
