"""`spsam ablate`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spsam.cli import completion
from spsam.cli.options import (
    AsJson,
    Checkpoint,
    Data,
    Device,
    DeviceMemory,
    Devices,
    DryRun,
    Fit,
    Folds,
    InitFrom,
    Jobs,
    Measure,
    Memory,
    Out,
    Overrides,
    Plugin,
    Preset,
    Seeds,
    SplitName,
    StudyName,
    Validate,
    Workers,
    parse_externals,
    parse_folds,
    parse_memory,
    parse_seeds,
    parse_shard,
    read,
)
from spsam.cli.plan_view import header, made_plan, show_plan
from spsam.errors import InputError, Problem
from spsam.extras import require

if TYPE_CHECKING:
    from spsam.studies.execution.executors.base import Executor
    from spsam.studies.planning.plan import Ablation
    from spsam.studies.recording.summary import Outcome

EPILOG = "Example: spsam ablate S3,S6..S8 my_arm.yaml --data path/to/ACDC --preset cpu --seeds 3"


def ablate(  # noqa: PLR0917 - the command line's options
    arms: Annotated[
        list[str] | None,
        typer.Argument(
            help="Names, ranges (A1..A9), comma-separated lists, YAML files; or a study.",
            autocompletion=completion.arms_and_studies,
        ),
    ] = None,
    data: Data = "phantom",
    preset: Preset = None,
    seeds: Seeds = None,
    fold: Folds = None,
    split: SplitName = None,
    overrides: Overrides = None,
    checkpoint: Checkpoint = None,
    device: Device = "auto",
    workers: Workers = None,
    devices: Devices = 1,
    validate: Validate = 0,
    init_from: InitFrom = None,
    fit: Fit = False,
    memory: Memory = None,
    out: Out = None,
    name: StudyName = None,
    plugin: Plugin = None,
    external: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=FOLDER",
            help="Score label maps of the test cases from another program. Repeatable.",
        ),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            metavar="ARM",
            help="Arm to compare all others with [default: each arm's base; the first arm for "
            "externals].",
        ),
    ] = None,
    executor: Annotated[
        str, typer.Option(help="local (one process per run), slurm, or inline (this process).")
    ] = "local",
    jobs: Jobs = None,
    slurm: Annotated[
        Path | None, typer.Option(help="YAML file with the resources of Slurm jobs.")
    ] = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="With slurm: exit after submitting the jobs.")
    ] = False,
    shard: Annotated[
        str | None,
        typer.Option(metavar="I/N", help="Execute every N-th run, starting with the I-th."),
    ] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Also rerun failed runs.")
    ] = False,
    dry_run: DryRun = False,
    measure: Measure = None,
    device_memory: DeviceMemory = None,
    as_json: AsJson = False,
) -> None:
    """Train arms on a data set and print the table. Finished runs are skipped."""
    from spsam.config.overrides import parse_overrides
    from spsam.config.places import home
    from spsam.config.problems import gather, raise_all
    from spsam.studies.execution.executors.choose import make_executor
    from spsam.studies.planning.request import Request
    from spsam.studies.tuning.plan import tuning_of

    require("report", "spsam ablate")
    problems: list[Problem] = []
    values: dict[str, Any] = {}
    with gather(problems):
        values = parse_overrides(overrides or [])
    externals: dict[str, Path] = {}
    with gather(problems):
        externals = parse_externals(external or [])
    request = Request(
        arms=arms or (),
        home=home(out),
        data=data,
        preset=preset,
        seeds=read(problems, parse_seeds, seeds, ()),
        folds=read(problems, parse_folds, fold, ()),
        split=split,
        overrides=values,
        checkpoint=checkpoint,
        device=device,
        workers=workers,
        devices=devices,
        name=name,
        plugins=plugin or (),
        validate=validate,
        init_from=init_from,
        externals=externals,
        reference=reference,
        dry_run=dry_run,
    )
    gpu = read(problems, parse_memory, device_memory, None)
    if gpu is not None and (fit or not dry_run):
        problems.append(Problem("--device-memory: requires --dry-run and excludes --fit"))
    part = read(problems, parse_shard, shard, (1, 1))
    raise_all(problems)
    ablation, measured = made_plan(request, fit=fit, memory=memory, gpu=gpu)
    if dry_run:
        usual = ablation.study is not None
        show_plan(ablation, measured, measure, usual=usual, as_json=as_json, gpu=gpu)
    else:
        if tuning_of(ablation) is not None and executor == "slurm":
            raise InputError(
                "--executor slurm: a study with tuning runs its sweeps in this process; run the "
                "command with --executor local within a job"
            )
        engine = make_executor(executor, ablation, None, jobs, measured, slurm=slurm, detach=detach)
        _run(ablation, engine, part, retry_failed=retry_failed, as_json=as_json)


def _run(
    ablation: Ablation,
    executor: Executor,
    shard: tuple[int, int],
    *,
    retry_failed: bool,
    as_json: bool,
) -> None:
    from spsam.cli.progress import watched
    from spsam.studies.execution.ablation import run_ablation
    from spsam.studies.tuning.tune import tuned

    if not as_json:
        typer.echo(header(ablation))
    planned = watched(lambda watch: tuned(ablation, watch, executor.backend))
    outcome = watched(
        lambda watch: run_ablation(
            planned, watch, executor=executor, retry_failed=retry_failed, shard=shard
        )
    )
    if as_json:
        typer.echo(json.dumps(result_json(planned, outcome), indent=2))
    else:
        _print_table(outcome)
        if executor.detached and not outcome.complete:
            typer.echo("jobs submitted; rerun without --detach to wait for them")
    raise typer.Exit(1 if outcome.failed else 0)


def result_json(ablation: Ablation, outcome: Outcome) -> dict[str, Any]:
    """The plan with the results of every arm, as plain values."""
    plan = ablation.describe()
    # pandas' JSON writes NaN as null.
    records: list[dict[str, Any]] = json.loads(outcome.table.frame().to_json(orient="records"))
    for arm, record in zip(plan["arms"], records, strict=True):
        arm["result"] = {key: record[key] for key in record if key not in ("arm", "title")}
    if len(outcome.tables) > 1:
        plan["effects"] = json.loads(outcome.tables[1].frame().to_json(orient="records"))
    plan["caption"] = outcome.table.caption
    plan["files"] = [str(path) for path in outcome.files]
    plan["failed"] = [str(folder.path) for folder in outcome.failed]
    return plan


def _print_table(outcome: Outcome) -> None:
    from rich.console import Console

    from spsam.reporting.render.screen import to_rich

    # A file or pipe gets the complete table, independent of the terminal's width.
    console = Console() if sys.stdout.isatty() else Console(width=200)
    for table in outcome.tables:
        console.print(to_rich(table, console.width))
    for path in outcome.files:
        typer.echo(str(path))
    home = outcome.files[0].parents[2]
    typer.echo(f"{home / 'runs'}: configuration, scores and predictions of every finished run")
    if outcome.tracked:
        typer.echo(f"spsam ui --out {home}: shows the same runs in MLflow")
    for folder in outcome.failed:
        typer.echo(f"failed: {folder.error if folder.error.exists() else folder.path}", err=True)
    if outcome.failed:
        typer.echo("rerun the command with --retry-failed to retry failed runs", err=True)
