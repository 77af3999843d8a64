"""`spsam predict`."""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from spsam.cli.notices import warn_of_weights, weights_lines
from spsam.cli.options import AsJson, Checkpoint, Device, DryRun, Out, Plugin

EPILOG = "Example: spsam predict S9 scans/ --save segmented/"


class Naming(str, Enum):
    """How results are called."""

    input = "input"
    amos = "amos"


def predict(  # noqa: PLR0917 - the command line's options
    named: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN... INPUT...",
            help="Trained runs (STUDY/ARM[/SEED[/FOLD]], an arm, latest, an id, a folder; the "
            "mean of several), then image files, folders of them, DICOM series.",
        ),
    ],
    save: Annotated[
        Path, typer.Option("--save", "--output", "-o", help="Folder of the label maps.")
    ],
    checkpoint: Checkpoint = None,
    device: Device = "auto",
    mirror: Annotated[
        bool | None,
        typer.Option(
            "--mirror/--no-mirror", help="Average over all mirrorings [default: as the run]."
        ),
    ] = None,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Write probabilities/NAME.nii.gz, too.")
    ] = False,
    prompts: Annotated[
        bool, typer.Option("--prompts", help="Write the prompts that the network gave itself, too.")
    ] = False,
    dicom_seg: Annotated[
        bool,
        typer.Option("--dicom-seg", help="Of DICOM series: write NAME.dcm, a DICOM-SEG, too."),
    ] = False,
    seg_nrrd: Annotated[
        bool,
        typer.Option("--seg-nrrd", help="Write NAME.seg.nrrd, 3D Slicer's segmentation, too."),
    ] = False,
    overlay: Annotated[
        bool,
        typer.Option("--overlay", help="Draw NAME_overlay.png, contours on slices, too."),
    ] = False,
    naming: Annotated[
        Naming, typer.Option(help="input, or amos: as its leaderboard wants it.")
    ] = Naming.input,
    out: Out = None,
    plugin: Plugin = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Segment new volumes, without any prompt.

    What is segmented already is not segmented again.
    """
    from spsam.cli.progress import watched
    from spsam.config.places import home
    from spsam.studies.predict import Segmented, plan_prediction
    from spsam.studies.predict import predict as run

    options = {"mirror": mirror, "probabilities": probabilities, "prompts": prompts}
    more = {"dicom_seg": dicom_seg, "seg_nrrd": seg_nrrd, "overlay": overlay}
    # Only those: a folder that was begun by an earlier version is gone on with.
    options |= {name: True for name, wanted in more.items() if wanted}
    planned = plan_prediction(
        named,
        home=home(out),
        output=save,
        sam=checkpoint,
        device=device,
        naming=naming.value,
        options=options,
        plugins=plugin or (),
    )
    warn_of_weights(planned.origins)
    done = Segmented(planned.names) if dry_run else watched(lambda watch: run(planned, watch))
    files = [str(save / f"{name}.nii.gz") for name in done.names]
    if as_json:
        result = planned.describe() | {"files": files, "failed": list(done.problems)}
        typer.echo(json.dumps(result, indent=2))
    elif dry_run:
        members = ", ".join(planned.members)
        typer.echo(f"runs      {len(planned.recipes)}: {members}; device {planned.device}")
        typer.echo("\n".join(weights_lines(planned.origins)))
        typer.echo(f"volumes   {len(planned.cases)}, {len(planned.todo)} to segment")
        notes = [f"note      {note}" for note in planned.notes]
        typer.echo("\n".join([*notes, *files, "", "Nothing was run: --dry-run."]))
    else:
        count = f"{len(files)} of {len(planned.cases)}" if done.problems else len(files)
        typer.echo(f"{save}: {count} label maps in their volumes' own grids")
    raise typer.Exit(1 if done.problems else 0)
