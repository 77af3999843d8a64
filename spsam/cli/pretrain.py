"""`spsam pretrain`."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spsam.cli.options import AsJson, DryRun, Overrides

if TYPE_CHECKING:
    from spsam.model.sam.promptable import PromptableSAM
    from spsam.studies.progress_events import ProgressListener

EPILOG = "Example: spsam pretrain --save sam_tiny.safetensors"


def pretrain(  # noqa: PLR0917 - the command line's options
    recipe: Annotated[
        Path | None, typer.Argument(help="YAML file [default: the recipe of sam_tiny].")
    ] = None,
    overrides: Overrides = None,
    save: Annotated[
        Path, typer.Option(help="File of weights to write, for --checkpoint of other commands.")
    ] = Path("sam_tiny.safetensors"),
    start: Annotated[
        Path | None, typer.Option(help="File of weights to start from, if the recipe requires one.")
    ] = None,
    workers: Annotated[
        int, typer.Option(min=0, max=1024, help="Processes that generate training images.")
    ] = 1,
    questions: Annotated[
        int, typer.Option(min=1, help="Number of held-out images to measure the result on.")
    ] = 200,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Pretrain a small SAM. Rerun the same command to resume.

    All training images are generated procedurally.
    """
    from spsam.config.overrides import parse_overrides
    from spsam.config.places import shipped
    from spsam.config.pretrain import load_recipe

    path = recipe or shipped("ablations") / "pretrain" / "sam_tiny.yaml"
    plan = load_recipe(path, parse_overrides(overrides or []))
    if dry_run:
        typer.echo(plan.model_dump_json(indent=2))
        return

    from spsam.cli.progress import watched
    from spsam.engine.pretrain import held_out, measure, pretrain, save_weights
    from spsam.engine.pretrain_state import locked, remove
    from spsam.files import clear_drafts

    began = time.perf_counter()
    checkpoint = save.with_name(save.name + ".training.pt")

    def train(watch: ProgressListener) -> PromptableSAM:
        return pretrain(
            plan,
            checkpoint=checkpoint,
            log=save.with_name(save.name + ".metrics.jsonl"),
            workers=workers,
            start=start,
            on_note=watch.warn,
            on_step=lambda done, metrics: watch.stage(
                f"training, loss {metrics['loss']:.3f}", done, plan.steps
            ),
        )

    with locked(checkpoint):
        clear_drafts(save.absolute().parent)
        sam = watched(train)
        sha256 = save_weights(sam, save, plan)
        remove(checkpoint)
    seconds = round(time.perf_counter() - began, 1)
    scores = measure(sam, held_out(plan, questions))
    if as_json:
        result = {"file": str(save), "sha256": sha256, "seconds": seconds, "iou": scores}
        typer.echo(json.dumps(result, indent=2))
        return
    typer.echo(f"{save}: sha-256 {sha256[:12]}, {seconds:.0f} s")
    typer.echo(f"mean IoU on {questions} held-out images:")
    for kind, value in scores.items():
        typer.echo(f"  {kind:24} {value:.3f}")
    typer.echo(f"spsam ablate S1..S9 --checkpoint {save}: uses the weights")
