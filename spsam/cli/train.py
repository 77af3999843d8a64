"""`spsam train`."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spsam.cli.notices import warn_of_weights
from spsam.cli.options import (
    AsJson,
    Checkpoint,
    Data,
    Device,
    Devices,
    Fit,
    Fold,
    Memory,
    Out,
    PatchWorkers,
    Plugin,
    Preset,
    SplitName,
    Validate,
)
from spsam.errors import InputError
from spsam.text.classes import class_labels

if TYPE_CHECKING:
    from collections.abc import Iterable

    from spsam.results.rows import Row
    from spsam.results.run_folder import RunFolder
    from spsam.studies.planning.costs import Costs

EPILOG = "Example: spsam train S9 --data path/to/ACDC --preset cpu"


def train(  # noqa: PLR0917 - the command line's options
    arm: Annotated[str, typer.Argument(help="An arm's name, or the path of a YAML file.")],
    data: Data = "phantom",
    preset: Preset = None,
    seed: Annotated[int, typer.Option(min=0, help="Of weights, patches and augmentation.")] = 0,
    fold: Fold = 0,
    split: SplitName = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A value on top of the arm. Repeatable."),
    ] = None,
    checkpoint: Checkpoint = None,
    device: Device = "auto",
    devices: Devices = 1,
    workers: PatchWorkers = None,
    validate: Validate = 0,
    fit: Fit = False,
    memory: Memory = None,
    out: Out = None,
    plugin: Plugin = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Tell memory and time; write nothing.")
    ] = False,
    no_measure: Annotated[
        bool, typer.Option("--no-measure", help="With --dry-run: take no steps to measure.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train one arm and score it; the same command resumes where it stopped."""
    from spsam.cli.ablate import header, plan_json, plan_text
    from spsam.cli.progress import watched
    from spsam.config.overrides import parse_overrides
    from spsam.config.places import home
    from spsam.studies.execution.train import train_one
    from spsam.studies.planning.costs import costs, fitted, too_large
    from spsam.studies.planning.planner import plan_ablation
    from spsam.studies.planning.request import Request

    request = Request(
        arms=[arm],
        home=home(out),
        data=data,
        preset=preset,
        seeds=[seed],
        folds=[fold],
        split=split,
        overrides=parse_overrides(overrides or []),
        checkpoint=checkpoint,
        device=device,
        workers=workers,
        devices=devices,
        plugins=plugin or (),
        validate=validate,
        dry_run=dry_run,
    )
    planned = plan_ablation(request)
    if len(planned.arms) != 1:
        raise InputError(f"{arm}: expected one arm; spsam ablate {arm} runs several")
    warn_of_weights(arm.weights for arm in planned.arms)
    measured: Costs = {}
    if fit:
        planned, measured = watched(lambda watch: fitted(planned, watch, memory))
    if dry_run:
        large = too_large(planned)
        if not (measured or no_measure or large):
            measured = watched(lambda watch: costs(planned, watch))
        typer.echo((plan_json if as_json else plan_text)(planned, measured, large))
        return
    if not as_json:
        typer.echo(header(planned))
    folder = watched(lambda watch: train_one(planned, watch))
    failed = folder.status != "finished"
    if as_json:
        typer.echo(json.dumps(_result(folder), indent=2))
    elif not failed:
        _print(folder, _result(folder))
    raise typer.Exit(1 if failed else 0)


def _result(folder: RunFolder) -> dict[str, Any]:
    from spsam.reporting.means import class_means, mean_dice

    result: dict[str, Any] = {"folder": str(folder.path), **folder.read()}
    if folder.status == "finished":
        rows = folder.read_rows()
        names = _classes(rows)
        means = [mean_dice(rows, len(names)), *class_means(rows, len(names)).tolist()]
        # A class that no case scores is null: NaN is no JSON.
        dice, *classes = [None if math.isnan(value) else value for value in means]
        result["dice"], result["dice_by_class"] = dice, dict(zip(names[1:], classes, strict=True))
    return result


def _classes(rows: Iterable[Row]) -> list[str]:
    names = {row.class_id: row.class_name for row in rows}
    return list(class_labels([names[key] for key in sorted(names)]))


def _print(folder: RunFolder, result: dict[str, Any]) -> None:
    for name, value in [*result["dice_by_class"].items(), ("mean", result["dice"])]:
        typer.echo(f"  {name:24} Dice {'–' if value is None else f'{100 * value:.2f}'}")
    typer.echo(f"{folder.path}: configuration, checkpoint, scores and predictions")
    typer.echo(f"spsam predict {folder.path} IMAGE --output FOLDER: segment new volumes")
