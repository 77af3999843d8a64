"""`spsam train`."""

from __future__ import annotations

import json
import math
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
    Measure,
    Memory,
    Out,
    Overrides,
    Plugin,
    Preset,
    SplitName,
    Validate,
    Workers,
    parse_folds,
    parse_memory,
    read,
)
from spsam.cli.plan_view import header, made_plan, show_plan
from spsam.errors import InputError, Problem
from spsam.text.classes import class_labels

if TYPE_CHECKING:
    from collections.abc import Iterable

    from spsam.results.rows import Row
    from spsam.results.run_folder import RunFolder
    from spsam.studies.planning.plan import Ablation

EPILOG = "Example: spsam train S9 --data path/to/ACDC --preset cpu"


def train(  # noqa: PLR0917 - the command line's options
    arm: Annotated[
        str,
        typer.Argument(help="Name of an arm, or a YAML file.", autocompletion=completion.arms),
    ],
    data: Data = "phantom",
    preset: Preset = None,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of weights, patches and augmentation.")
    ] = 0,
    fold: Folds = None,
    split: SplitName = None,
    overrides: Overrides = None,
    checkpoint: Checkpoint = None,
    device: Device = "auto",
    devices: Devices = 1,
    workers: Workers = None,
    validate: Validate = 0,
    init_from: InitFrom = None,
    fit: Fit = False,
    memory: Memory = None,
    out: Out = None,
    plugin: Plugin = None,
    dry_run: DryRun = False,
    measure: Measure = None,
    device_memory: DeviceMemory = None,
    as_json: AsJson = False,
) -> None:
    """Train and score one arm, fold by fold. Rerun the same command to resume."""
    from spsam.config.overrides import parse_overrides
    from spsam.config.places import home
    from spsam.config.problems import gather, raise_all
    from spsam.studies.planning.request import Request
    from spsam.studies.tuning.plan import tuning_of

    problems: list[Problem] = []
    values: dict[str, Any] = {}
    with gather(problems):
        values = parse_overrides(overrides or [])
    request = Request(
        arms=[arm],
        home=home(out),
        data=data,
        preset=preset,
        seeds=[seed],
        folds=read(problems, parse_folds, fold, (0,)),
        split=split,
        overrides=values,
        checkpoint=checkpoint,
        device=device,
        workers=workers,
        devices=devices,
        plugins=plugin or (),
        validate=validate,
        init_from=init_from,
        dry_run=dry_run,
    )
    gpu = read(problems, parse_memory, device_memory, None)
    if gpu is not None and (fit or not dry_run):
        problems.append(Problem("--device-memory: requires --dry-run and excludes --fit"))
    raise_all(problems)
    planned, measured = made_plan(request, fit=fit, memory=memory, gpu=gpu)
    if len(planned.arms) != 1:
        raise InputError(f"{arm}: expected one arm; use spsam ablate {arm} for several")
    if tuning_of(planned) is not None or planned.externals:
        raise InputError(f"{arm}: has tuning or externals; use spsam ablate {arm} instead")
    if dry_run:
        show_plan(planned, measured, measure, usual=True, as_json=as_json, gpu=gpu)
    else:
        _run(planned, as_json)


def _run(planned: Ablation, as_json: bool) -> None:
    from spsam.cli.progress import watched
    from spsam.studies.execution.train import train_runs

    if not as_json:
        typer.echo(header(planned))
    folders = watched(lambda watch: train_runs(planned, watch))
    results = [_result(folder) for folder in folders]
    if as_json:
        # A single fold is printed as an object, several folds as a list.
        typer.echo(json.dumps(results[0] if len(results) == 1 else results, indent=2))
    else:
        for fold, folder, result in zip(planned.splits, folders, results, strict=True):
            if result["status"] == "finished":
                _print(folder, result, f"fold {fold}" if len(folders) > 1 else "")
    raise typer.Exit(0 if all(result["status"] == "finished" for result in results) else 1)


def _result(folder: RunFolder) -> dict[str, Any]:
    from spsam.reporting.means import class_means, mean_dice

    result: dict[str, Any] = {"folder": str(folder.path), **folder.read()}
    if folder.status == "finished":
        rows = folder.read_rows()
        names = _classes(rows)
        means = [mean_dice(rows, len(names)), *class_means(rows, len(names)).tolist()]
        # A class without a score is null: JSON has no NaN.
        dice, *classes = [None if math.isnan(value) else value for value in means]
        result["dice"], result["dice_by_class"] = dice, dict(zip(names[1:], classes, strict=True))
    return result


def _classes(rows: Iterable[Row]) -> list[str]:
    names = {row.class_id: row.class_name for row in rows}
    return list(class_labels([names[key] for key in sorted(names)]))


def _print(folder: RunFolder, result: dict[str, Any], title: str) -> None:
    if title:
        typer.echo(title)
    for name, value in [*result["dice_by_class"].items(), ("mean", result["dice"])]:
        typer.echo(f"  {name:24} Dice {'–' if value is None else f'{100 * value:.2f}'}")
    typer.echo(f"{folder.path}: configuration, checkpoint, scores and predictions")
    typer.echo(f"spsam predict {folder.path} IMAGE --save FOLDER: segments new volumes")
