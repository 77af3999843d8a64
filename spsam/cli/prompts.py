"""`spsam prompts`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spsam.cli import completion
from spsam.cli.notices import warn_of_weights, weights_lines
from spsam.cli.options import (
    AsJson,
    Checkpoint,
    Device,
    DryRun,
    Out,
    Overrides,
    Plugin,
    parse_seeds,
    read,
    words,
)
from spsam.errors import Problem

if TYPE_CHECKING:
    from spsam.studies.prompts.plan_prompts import PromptStudy
    from spsam.studies.prompts.summary import PromptOutcome

EPILOG = "Example: spsam prompts --data path/to/ACDC --prompts box,point+box --point edt,random"


def prompts(  # noqa: PLR0917 - the command line's options
    study: Annotated[
        Path | None,
        typer.Argument(help="YAML file of the study [default: ablations/prompts.yaml]."),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="`phantom`, or a folder [default: the run's data set, else phantom]."),
    ] = None,
    run: Annotated[
        str | None,
        typer.Option(
            help="Trained run: STUDY/ARM/SEED/FOLD, latest, an id or a folder "
            "[default: plain SAM].",
            autocompletion=completion.runs,
        ),
    ] = None,
    compare: Annotated[
        list[str] | None,
        typer.Option(
            help="Another run in the comparison of adjacent slices. Repeatable.",
            autocompletion=completion.runs,
        ),
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(help="Backbone of plain SAM: sam_tiny, sam_vit_b, sam_vit_l or sam_vit_h."),
    ] = None,
    checkpoint: Checkpoint = None,
    overrides: Overrides = None,
    which: Annotated[
        str | None,
        typer.Option(
            "--prompts",
            help="Kinds of prompts, e.g. box,point+box,point+box+mask [default: the study's].",
        ),
    ] = None,
    point: Annotated[
        str | None, typer.Option(help="Point strategies, e.g. edt,random [default: all].")
    ] = None,
    mask: Annotated[
        str | None,
        typer.Option(
            help="Mask forms: binary, logits, log_odds [default: all; the run's with --run]."
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            help="Sources of prompts: ground_truth, auxiliary (with --run), disturbed "
            "[default: the study's]."
        ),
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option(
            help="Number of random draws (3) or their seeds (0,1,2 or 7,) [default: the study's]."
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Maximum number of test cases [default: all].")
    ] = None,
    device: Device = "auto",
    out: Out = None,
    plugin: Plugin = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Compare kinds, positions and quality of prompts."""
    from spsam.config.overrides import parse_overrides
    from spsam.config.places import home
    from spsam.config.problems import gather, raise_all
    from spsam.studies.prompts.plan_prompts import plan_prompts
    from spsam.studies.prompts.request import PromptRequest

    problems: list[Problem] = []
    values: dict[str, Any] = {}
    with gather(problems):
        values = parse_overrides(overrides or [])
    if backbone is not None:
        values["backbone.name"] = backbone
    request = PromptRequest(
        home=home(out),
        study=study,
        data=data,
        run=run,
        compare=compare or (),
        prompts=words(which),
        point=words(point),
        mask=words(mask),
        source=words(source),
        seeds=read(problems, parse_seeds, seeds, None),
        limit=limit,
        overrides=values,
        checkpoint=checkpoint,
        device=device,
        plugins=plugin or (),
    )
    with gather(problems):
        planned = plan_prompts(request)
    raise_all(problems)
    warn_of_weights([planned.subject.weights])
    if dry_run:
        typer.echo(json.dumps(planned.describe(), indent=2) if as_json else plan_text(planned))
    else:
        _run(planned, as_json)


def header(study: PromptStudy) -> str:
    """The header of the study, in a few lines."""
    subject = study.subject
    asked = sum(len(study.seeds(cell)) for cell in study.cells)
    patch = "×".join(map(str, subject.plan.patch_size))
    lines = [
        f"data      {subject.dataset.name}, fingerprint {subject.dataset.fingerprint}",
        f"cases     {len(study.cases)} of the {len(subject.split.test)} test cases",
        *[f"note      {note}" for note in [*subject.dataset.notes, *subject.split.notes]],
        f"network   {subject.label}; patch {patch}; device {subject.device}",
        *weights_lines([subject.weights]),
        f"cells     {len(study.cells)}; {asked} including seeds",
    ]
    return "\n".join(lines)


def plan_text(study: PromptStudy) -> str:
    """The plan, one line per cell."""
    lines = [header(study), "", *[f"    {cell}" for cell in study.cells]]
    return "\n".join([*lines, "", "Nothing was run: --dry-run."])


def result_json(study: PromptStudy, outcome: PromptOutcome) -> dict[str, Any]:
    """The plan with the results of every cell, as plain values; Dice in percent."""
    plan = study.describe()
    # pandas' JSON writes NaN as null.
    records: list[dict[str, Any]] = json.loads(outcome.table.to_json(orient="records"))
    for cell, record in zip(plan["cells"], records, strict=True):
        cell["mean_dice"] = record["dice"]
        cell["std"] = record["std"]
        cell["per_class"] = {
            key.removeprefix("dice: "): value
            for key, value in record.items()
            if key.startswith("dice: ")
        }
    plan |= outcome.more
    plan["caption"] = outcome.caption
    plan["files"] = [str(path) for path in outcome.files]
    return plan


def _run(study: PromptStudy, as_json: bool) -> None:
    from spsam.cli.progress import watched
    from spsam.studies.prompts.study import run_prompts

    if not as_json:
        typer.echo(header(study))
    outcome = watched(lambda watch: run_prompts(study, watch))
    if as_json:
        typer.echo(json.dumps(result_json(study, outcome), indent=2))
    else:
        _print(outcome)


def _print(outcome: PromptOutcome) -> None:
    from rich.console import Console

    from spsam.reporting.render.screen import to_rich

    console = Console() if sys.stdout.isatty() else Console(width=200)
    for table in outcome.screens:
        console.print(to_rich(table))
    for path in outcome.files:
        typer.echo(str(path))
