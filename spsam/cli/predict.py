"""`spsam predict`."""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from spsam.cli.notices import warn_of_weights, weights_lines
from spsam.cli.options import AsJson, Device, Plugin

EPILOG = "Example: spsam predict spsam-runs/runs/RUN scans/ --output segmented/"


class Naming(str, Enum):
    """How results are called."""

    input = "input"
    amos = "amos"


def predict(  # noqa: PLR0917 - the command line's options
    named: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN... INPUT...",
            help="Trained runs (folder, checkpoint.pt or id; the mean of several), then image "
            "files, folders of them, DICOM series.",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the label maps.")],
    checkpoint: Annotated[
        Path | None, typer.Option(help="SAM's official weights, where the run had some.")
    ] = None,
    device: Device = "auto",
    mirror: Annotated[
        bool | None,
        typer.Option(
            "--mirror/--no-mirror", help="Average over all mirrorings [default: as the run]."
        ),
    ] = None,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Write NAME_probabilities.npy, too.")
    ] = False,
    prompts: Annotated[
        bool, typer.Option("--prompts", help="Write the prompts that the network gave itself, too.")
    ] = False,
    dicom_seg: Annotated[
        bool,
        typer.Option("--dicom-seg", help="Of DICOM series: write NAME.dcm, a DICOM-SEG, too."),
    ] = False,
    naming: Annotated[
        Naming, typer.Option(help="input, or amos: as its leaderboard wants it.")
    ] = Naming.input,
    out: Annotated[
        Path | None, typer.Option(help="Folder of runs; else $SPSAM_HOME, else ./spsam-runs.")
    ] = None,
    plugin: Plugin = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be segmented; write nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Segment new volumes, without any prompt; what is segmented is not segmented again."""
    from spsam.cli.progress import watched
    from spsam.config.places import home
    from spsam.studies.predict import plan_prediction
    from spsam.studies.predict import predict as run

    options = {"mirror": mirror, "probabilities": probabilities, "prompts": prompts}
    if dicom_seg:
        # Only then: a folder that was begun by an earlier version is gone on with.
        options["dicom_seg"] = True
    planned = plan_prediction(
        named,
        home=home(out),
        output=output,
        sam=checkpoint,
        device=device,
        naming=naming.value,
        options=options,
        plugins=plugin or (),
    )
    warn_of_weights(planned.origins)
    files = [str(output / f"{name}.nii.gz") for name in planned.names]
    failed = [] if dry_run else watched(lambda watch: run(planned, watch))
    if as_json:
        result = planned.describe() | {"files": files, "failed": failed}
        typer.echo(json.dumps(result, indent=2))
    elif dry_run:
        arms = ", ".join(recipe.config.arm.name for recipe in planned.recipes)
        typer.echo(f"runs      {len(planned.recipes)}: {arms}; device {planned.device}")
        typer.echo("\n".join(weights_lines(planned.origins)))
        typer.echo(f"volumes   {len(planned.cases)}, {len(planned.todo)} to segment")
        notes = [f"note      {note}" for note in planned.notes]
        typer.echo("\n".join([*notes, *files, "", "Nothing was run: --dry-run."]))
    else:
        done = len(files) - len(failed)
        typer.echo(f"{output}: {done} label maps in their volumes' own grids")
    raise typer.Exit(1 if failed else 0)
