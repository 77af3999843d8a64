"""`spsam export`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from spsam.cli import completion
from spsam.cli.options import AsJson, Out, Plugin

EPILOG = "Example: spsam export S9 model.zip --licence 'CC BY-NC 4.0'"


def export(  # noqa: PLR0917 - the command line's options
    named: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN... MODEL.zip",
            help="Trained runs (STUDY/ARM[/SEED[/FOLD]], an arm, latest, an id, a folder), then "
            "the file to write.",
            autocompletion=completion.runs,
        ),
    ],
    licence: Annotated[
        str | None,
        typer.Option(help="Licence of the trained blocks, as text [default: not stated]."),
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Overwrite an existing file.")] = False,
    out: Out = None,
    plugin: Plugin = None,
    as_json: AsJson = False,
) -> None:
    """Write trained runs into one file for distribution.

    The file contains the trained blocks, the configuration and a model card. It contains no
    optimiser state, SAM weights, paths or case names. Use it with `spsam predict MODEL.zip`.
    """
    from spsam.config.places import home
    from spsam.studies.export import export as write
    from spsam.studies.export import plan_export

    planned = plan_export(
        named, home=home(out), plugins=plugin or (), licence=licence, replace=replace
    )
    for note in planned.notes:
        typer.echo(f"warning: {note}", err=True)
    write(planned)
    size = planned.path.stat().st_size
    files = [recipe.path for recipe in planned.recipes if recipe.path.is_file()]
    before = sum(file.stat().st_size for file in files)
    if as_json:
        told = {
            "model": str(planned.path),
            "bytes": size,
            "bytes_of_checkpoints": before,
            "runs": [str(recipe.path.parent) for recipe in planned.recipes],
            "plugins": sorted(planned.plugins),
            "notes": list(planned.notes),
        }
        typer.echo(json.dumps(told, indent=2))
        return
    count = "1 run" if len(planned.recipes) == 1 else f"{len(planned.recipes)} runs"
    typer.echo(f"{planned.path}: {count}, {size / 1e6:.1f} MB (checkpoints {before / 1e6:.1f} MB)")
    typer.echo(f"spsam predict {planned.path} scans/ --save segmented/")
