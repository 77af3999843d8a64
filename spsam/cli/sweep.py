"""`spsam sweep`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spsam.cli import completion
from spsam.cli.notices import warn_of_weights, weights_lines
from spsam.cli.options import (
    PRESETS,
    AsJson,
    Checkpoint,
    Data,
    Device,
    DryRun,
    InitFrom,
    OneFold,
    Out,
    Overrides,
    Plugin,
    SplitName,
    StudyName,
    parse_fold,
    read,
)
from spsam.errors import Problem
from spsam.extras import require

if TYPE_CHECKING:
    from spsam.studies.sweep.plan_sweep import Sweep
    from spsam.studies.sweep.summary import SweepOutcome

EPILOG = "Example: spsam sweep adapter --data path/to/ACDC --preset cpu --trials 50 --jobs 2"


def sweep(  # noqa: PLR0917 - the command line's options
    space: Annotated[
        str,
        typer.Argument(
            help="YAML file of the sweep, or its name in ablations/sweeps.",
            autocompletion=completion.sweeps,
        ),
    ],
    data: Data = "phantom",
    preset: Annotated[
        str | None,
        typer.Option(
            help=f"Training preset: {PRESETS} [default: the sweep's].",
            autocompletion=completion.presets,
        ),
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(
            min=1, help="Total number of trials, including earlier ones [default: the sweep's]."
        ),
    ] = None,
    jobs: Annotated[
        int, typer.Option(min=1, max=1024, help="Maximum number of simultaneous trials.")
    ] = 1,
    storage: Annotated[
        str | None,
        typer.Option(help="Journal file or database URL [default: a journal in --out]."),
    ] = None,
    fold: OneFold = "0",
    split: SplitName = None,
    overrides: Overrides = None,
    checkpoint: Checkpoint = None,
    init_from: InitFrom = None,
    device: Device = "auto",
    out: Out = None,
    name: StudyName = None,
    plugin: Plugin = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Optimise values of an arm on validation cases. Rerun the same command to resume."""
    from spsam.config.overrides import parse_overrides
    from spsam.config.places import home
    from spsam.config.problems import gather, raise_all
    from spsam.studies.sweep.plan_sweep import SweepRequest, plan_sweep

    require("sweep", "spsam sweep")
    problems: list[Problem] = []
    values: dict[str, Any] = {}
    with gather(problems):
        values = parse_overrides(overrides or [])
    request = SweepRequest(
        space=space,
        home=home(out),
        data=data,
        preset=preset,
        fold=read(problems, parse_fold, fold, 0),
        split=split,
        overrides=values,
        checkpoint=checkpoint,
        init_from=init_from,
        device=device,
        trials=trials,
        jobs=jobs,
        storage=storage,
        name=name,
        plugins=plugin or (),
    )
    with gather(problems):
        planned = plan_sweep(request)
    raise_all(problems)
    warn_of_weights([planned.base.weights])
    if dry_run:
        typer.echo(json.dumps(planned.describe(), indent=2) if as_json else plan_text(planned))
    else:
        _run(planned, as_json)


def header(planned: Sweep) -> str:
    """The header of the sweep, in a few lines."""
    about = planned.describe()
    data, cases, train = about["data"], about["cases"], planned.base.arm.train
    better = {"dice": "highest mean Dice of the validation cases"}
    wanted = [better.get(name, f"lowest {name}") for name in about["objectives"]]
    pruner = about["pruner"]["name"]
    if pruner != "none":
        by = "validation Dice" if planned.config.prune_by == "dice" else "training loss"
        pruner += f" by {by}, every {planned.config.prune_every} epochs"
    lines = [
        f"study     {about['name']}, stored in {about['storage']}",
        f"arm       {about['arm']}, preset {about['preset']}: {train.epochs} epochs of "
        f"{train.iterations} steps; device {about['device']}",
        f"data      {data['name']}, split {data['split_name']}: {cases['train']} cases train, "
        f"{cases['scored']} validation cases are scored; no test case is used",
        *[f"note      {note}" for note in about["notes"]],
        *weights_lines([planned.base.weights]),
        f"objective {', '.join(wanted)}",
        f"search    {about['sampler']['name']}; pruner {pruner}",
        f"trials    {about['trials']} in total, {about['jobs']} at a time",
    ]
    return "\n".join(lines)


def plan_text(planned: Sweep) -> str:
    """The header and one line per dimension of the search space."""
    lines = [header(planned), ""]
    for dimension in planned.space:
        where = "" if dimension.needs is None else f" (only with {dimension.needs[1]})"
        if dimension.range is None:
            values = ", ".join(map(str, dimension.choices or ()))
        else:
            bounds = dimension.range
            values = f"{bounds.low} … {bounds.high}"
            values += ", logarithmic" if bounds.log else ""
            values += "" if bounds.step is None else f", in steps of {bounds.step}"
        lines.append(f"{dimension.key}: {values}{where}")
    return "\n".join([*lines, "", "Nothing was run: --dry-run."])


def _run(planned: Sweep, as_json: bool) -> None:
    from spsam.cli.progress import watched
    from spsam.studies.sweep.run_sweep import run_sweep

    if not as_json:
        typer.echo(header(planned))
    outcome = watched(lambda watch: run_sweep(planned, watch))
    if as_json:
        typer.echo(json.dumps(result_json(planned, outcome), indent=2))
    else:
        typer.echo(_result_text(planned, outcome))
    raise typer.Exit(0 if outcome.best else 1)


def result_json(planned: Sweep, outcome: SweepOutcome) -> dict[str, Any]:
    """The plan with its results, as plain values."""
    return {
        **planned.describe(),
        "counts": outcome.counts,
        "best": outcome.best,
        "start": outcome.start,
        "importances": outcome.importances,
        "files": [str(path) for path in outcome.files],
    }


def _result_text(planned: Sweep, outcome: SweepOutcome) -> str:
    from spsam.studies.sweep.summary import best_command

    lines = [", ".join(f"{count} {state}" for state, count in outcome.counts.items())]
    for entry in outcome.best:
        scored = ", ".join(f"{name} {value:.4g}" for name, value in entry["values"].items())
        lines += [f"trial {entry['trial']}: {scored}", *[f"  {line}" for line in entry["set"]]]
    if outcome.start is not None:
        scored = ", ".join(f"{key} {value:.4g}" for key, value in outcome.start["values"].items())
        lines.append(f"{planned.config.arm} without changes: {scored}")
    for objective, shares in outcome.importances.items():
        told = ", ".join(f"{key} {share:.2f}" for key, share in shares.items())
        lines.append(f"importance for {objective}: {told}")
    lines += [str(path) for path in outcome.files]
    if outcome.best:
        lines.append(f"{best_command(planned)}: scores the best values on the test cases")
    else:
        lines.append("no trial finished; the reasons are in trials.csv")
    return "\n".join(lines)
