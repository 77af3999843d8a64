"""`spsam ablate`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spsam.cli.notices import warn_of_weights, weights_lines
from spsam.cli.options import (
    AsJson,
    Checkpoint,
    Data,
    Device,
    Devices,
    Fit,
    Memory,
    Out,
    PatchWorkers,
    Plugin,
    Preset,
    SplitName,
    Validate,
)
from spsam.config.numbers import LARGEST, MOST_LISTED, whole
from spsam.errors import InputError, shortened

if TYPE_CHECKING:
    from spsam.registry.protocols import Protocol
    from spsam.studies.execution.executors.base import Executor
    from spsam.studies.planning.costs import Costs
    from spsam.studies.planning.plan import Ablation
    from spsam.studies.recording.summary import Outcome

EPILOG = "Example: spsam ablate S3,S6..S8 my_arm.yaml --data path/to/ACDC --preset cpu --seeds 3"
_SHOWN_CHANGES = 4


def ablate(  # noqa: PLR0917 - the command line's options
    arms: Annotated[
        list[str] | None,
        typer.Argument(
            help="Names, ranges (A1..A9), lists with commas, paths of YAML files; or a study."
        ),
    ] = None,
    data: Data = "phantom",
    preset: Preset = None,
    seeds: Annotated[
        str | None,
        typer.Option(help="How many (3), or which (0,1,2; 7,) [default: the study's, else 1]."),
    ] = None,
    fold: Annotated[
        str | None,
        typer.Option(help="Which folds (0; 0,2; 0..4) [default: the study's, else 0]."),
    ] = None,
    split: SplitName = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A value on top of every arm. Repeatable."),
    ] = None,
    checkpoint: Checkpoint = None,
    device: Device = "auto",
    workers: PatchWorkers = None,
    devices: Devices = 1,
    validate: Validate = 0,
    fit: Fit = False,
    memory: Memory = None,
    out: Out = None,
    name: Annotated[str | None, typer.Option(help="Name of the study's folder.")] = None,
    plugin: Plugin = None,
    executor: Annotated[
        str, typer.Option(help="local (a process a run), slurm, or inline (this process).")
    ] = "local",
    jobs: Annotated[
        int | None,
        typer.Option(min=1, help="The most runs at once [default: what the machine allows]."),
    ] = None,
    slurm: Annotated[
        Path | None, typer.Option(help="YAML: partition, GPUs, nodes, time of a job.")
    ] = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="With slurm: leave when all jobs are submitted.")
    ] = False,
    shard: Annotated[
        str | None, typer.Option(metavar="I/N", help="Run every N-th run, from the I-th on.")
    ] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Run failed runs again, too.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would run; write nothing.")
    ] = False,
    measure: Annotated[
        bool | None,
        typer.Option(
            "--measure/--no-measure",
            help="With --dry-run: measure memory and time, too [default: of a study].",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run arms on a data set and print the table. Finished runs are not run again."""
    from spsam.cli.progress import watched
    from spsam.config.overrides import parse_overrides
    from spsam.config.places import home
    from spsam.config.problems import gather, raise_all
    from spsam.errors import Problem
    from spsam.studies.execution.executors.choose import make_executor
    from spsam.studies.planning.costs import costs, fitted, too_large
    from spsam.studies.planning.planner import plan_ablation
    from spsam.studies.planning.request import Request

    problems: list[Problem] = []
    values: dict[str, Any] = {}
    numbers: tuple[int, ...] = ()
    folds: tuple[int, ...] = ()
    with gather(problems):
        values = parse_overrides(overrides or [])
    with gather(problems):
        numbers = () if seeds is None else parse_seeds(seeds)
    with gather(problems):
        folds = () if fold is None else parse_folds(fold)
    part = (1, 1)
    with gather(problems):
        part = parse_shard(shard) if shard else part
    raise_all(problems)
    request = Request(
        arms=arms or (),
        home=home(out),
        data=data,
        preset=preset,
        seeds=numbers,
        folds=folds,
        split=split,
        overrides=values,
        checkpoint=checkpoint,
        device=device,
        workers=workers,
        devices=devices,
        name=name,
        plugins=plugin or (),
        validate=validate,
        dry_run=dry_run,
    )
    ablation = plan_ablation(request)
    warn_of_weights(arm.weights for arm in ablation.arms)
    measured: Costs = {}
    if fit:
        ablation, measured = watched(lambda watch: fitted(ablation, watch, memory))
    if dry_run:
        large = too_large(ablation)
        if measure is None:
            # Steps that are made for a GPU would be measured for minutes, if memory sufficed.
            measure = ablation.study is not None and large is None
        if measure and not measured:
            measured = watched(lambda watch: costs(ablation, watch))
        shown = plan_json if as_json else plan_text
        typer.echo(shown(ablation, measured, large))
    else:
        engine = make_executor(executor, ablation, None, jobs, measured, slurm=slurm, detach=detach)
        _run(ablation, engine, part, retry_failed=retry_failed, as_json=as_json)


def parse_seeds(text: str) -> tuple[int, ...]:
    """`3` is seeds 0, 1, 2; `0,4` are these two; `7,` is this one.

    Raises:
        InputError: If it is neither.
    """
    words = [word.strip() for word in text.split(",")]
    listed = [word for word in words if word]
    numbers = [number for word in listed if (number := whole(word)) is not None]
    if not listed or len(numbers) < len(listed):
        raise InputError(
            f"--seeds {shortened(text)}: expected a number (3) or a list (0,1,2), of numbers up to "
            f"{LARGEST}"
        )
    if len(words) == 1:
        if not 1 <= numbers[0] <= MOST_LISTED:
            raise InputError(
                f"--seeds {text}: expected from one to {MOST_LISTED} seeds; seed {text} alone is "
                f"'{text},'"
            )
        return tuple(range(numbers[0]))
    if len(set(numbers)) < len(numbers):
        raise InputError(f"--seeds {text}: a seed is named twice")
    return tuple(numbers)


def parse_folds(text: str) -> tuple[int, ...]:
    """`1` is fold 1, `0,2` are these two, `0..4` are all from the first to the last.

    Raises:
        InputError: If it is none of them, or a fold is named twice.
    """
    numbers: list[int] = []
    for word in text.split(","):
        start, dots, end = word.strip().partition("..")
        first = whole(start)
        last = whole(end) if dots else first
        if first is None or last is None or last - first >= MOST_LISTED:
            raise InputError(
                f"--fold {shortened(text)}: expected a fold (0), a list (0,2) or a range (0..4) "
                f"of at most {MOST_LISTED} folds of numbers up to {LARGEST}"
            )
        numbers += range(first, last + 1)
    if not numbers or len(set(numbers)) < len(numbers):
        raise InputError(f"--fold {text}: expected at least one fold, each once")
    return tuple(numbers)


def parse_shard(text: str) -> tuple[int, int]:
    """`2/3` is the second of three parts.

    Raises:
        InputError: If it is no such thing.
    """
    index, count = (whole(word) for word in [*text.split("/"), "", ""][:2])
    if text.count("/") == 1 and index is not None and count is not None and 1 <= index <= count:
        return index, count
    raise InputError(f"--shard {shortened(text)}: expected I/N with I from 1 to N, e.g. 2/3")


def header(ablation: Ablation) -> str:
    """What is about to run, in a few lines."""
    split, data = ablation.split, ablation.dataset
    sizes = dict.fromkeys("×".join(map(str, arm.plan.patch_size)) for arm in ablation.arms)
    networks = dict.fromkeys(
        arm.arm.backbone.name if arm.weights else arm.arm.network for arm in ablation.arms
    )
    epochs = dict.fromkeys(
        f"{arm.arm.train.epochs} epochs of {arm.arm.train.iterations} steps"
        for arm in ablation.arms
    )
    wanted = dict.fromkeys(
        _size(arm.arm.backbone.encoder_size)
        for arm in ablation.arms
        if arm.arm.network == "self_prompt_sam" and arm.arm.backbone.encoder_size is not None
    )
    encoders = f", encoder {', '.join(wanted)}" if wanted else ""
    precisions = dict.fromkeys(arm.arm.train.precision for arm in ablation.arms)
    request, study = ablation.request, ablation.study
    counts = f"{len(ablation.arms)} × {len(request.seeds)}"
    words = "arms × seeds"
    if len(request.folds) > 1:
        words, counts = f"{words} × folds", f"{counts} × {len(request.folds)}"
    lines = [
        *([] if study is None else [f"study     {study.title} ({study.shape})"]),
        f"data      {data.name}, fingerprint {data.fingerprint}",
        f"split     {split.name}: {len(split.train)} cases train, {len(split.val)} validate, "
        f"{len(split.test)} are scored",
        *[f"note      {note}" for note in ablation.notes],
        f"preset    {ablation.preset}: {', '.join(epochs)}",
        *([] if ablation.protocol is None else [_protocol_line(ablation.protocol)]),
        f"network   {', '.join(networks)}; patch {', '.join(sizes)}{encoders}; "
        f"{', '.join(precisions)}; device {ablation.device}",
        *weights_lines(arm.weights for arm in ablation.arms),
        f"runs      {len(ablation.runs)}: {words} {counts}",
    ]
    return "\n".join(lines)


def _protocol_line(protocol: Protocol) -> str:
    split = f"; split {protocol.split}" if protocol.split else ""
    return f"protocol  {protocol.name}: {protocol.summary}{split} ({protocol.path})"


def _size(side: int | tuple[int, int] | None) -> str:
    return "×".join(map(str, side)) if isinstance(side, tuple) else f"{side}×{side}"


def _large_lines(ablation: Ablation, large: Mapping[str, Any] | None) -> list[str]:
    """That runs are made for a GPU, and what they would take here, where there is none."""
    from spsam.cli.progress import span

    if large is None:
        return []
    train = ablation.arms[0].arm.train
    return [
        f"machine   without a GPU, for which {large['arm']} under the preset {ablation.preset} is "
        f"made: on this processor about {large['peak'] / 1e9:,.0f} GB of memory "
        f"({large['free'] / 1e9:,.0f} GB are free), {large['joint_step']:,.0f} s a step and "
        f"{span(large['seconds'])} for the {train.epochs * train.iterations:,} steps of a run "
        "(estimated from its operations)"
    ]


def plan_text(ablation: Ablation, measured: Costs, large: Mapping[str, Any] | None = None) -> str:
    """The arms, what each changes, how much it trains and what that takes.

    `large` is what `spsam.studies.planning.costs.too_large` found.
    """
    lines = [header(ablation), *_large_lines(ablation, large), ""]
    for planned in ablation.arms:
        parent = f" (from {planned.parent})" if planned.parent else ""
        ids = ", ".join(run.folder.run_id for run in planned.runs)
        lines.append(f"{planned.arm.name}{parent}: {planned.arm.title}")
        changes = _changes(planned.diff)
        lines += [f"    {change}" for change in changes[:_SHOWN_CHANGES]]
        if len(changes) > _SHOWN_CHANGES:
            lines.append(f"    and {len(changes) - _SHOWN_CHANGES} more (--json shows all)")
        lines.append(
            f"    trains {planned.size.trained:,} of {planned.size.total:,} parameters; run {ids}"
        )
        lines += [f"    {line}" for line in _cost_lines(planned.arm.name, measured)]
    return "\n".join([*lines, *_total(ablation, measured), "", "Nothing was run: --dry-run."])


def _changes(diff: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line a change; a parameter of a component that the parent has not is set, not changed."""
    keys = {change["key"] for change in diff}
    return [
        f"{change['key']}: {change['value']} (by default {change['parent']})"
        if change["key"].rpartition(".")[0] in keys
        else f"{change['key']}: {change['parent']} -> {change['value']}"
        for change in diff
    ]


def plan_json(ablation: Ablation, measured: Costs, large: Mapping[str, Any] | None = None) -> str:
    """The same for a program."""
    plan = {**ablation.describe(), "without_gpu": large}
    for arm in plan["arms"]:
        if arm["name"] in measured:
            arm["cost"] = measured[arm["name"]]
    return json.dumps(plan, indent=2)


def _total(ablation: Ablation, measured: Costs) -> list[str]:
    """What all runs take, where all were measured."""
    from spsam.cli.progress import span

    known = [(arm, measured.get(arm.arm.name)) for arm in ablation.arms]
    if any(cost is None for _, cost in known):
        return []
    seconds = sum(cost["seconds"] * len(arm.runs) for arm, cost in known if cost)
    peak = max(cost["peak"] for _, cost in known if cost)
    return [
        f"all {len(ablation.runs)} runs: training {span(seconds)} one after the other, "
        f"{peak / 1e6:,.0f} MB at most"
    ]


def _cost_lines(name: str, measured: Costs) -> list[str]:
    from spsam.cli.progress import span

    if name not in measured:
        return []
    cost = measured[name]
    if cost is None:
        return ["memory: a step takes more than is free; --fit computes it in pieces"]
    sizes = {
        key: f"{cost[key] / 1e6:,.0f} MB" for key in ("weights", "training", "activations", "peak")
    }
    return [
        f"memory: {sizes['peak']} at most (weights {sizes['weights']}, gradients and optimiser "
        f"{sizes['training']}, activations {sizes['activations']}); "
        f"{cost['free'] / 1e9:.1f} GB are free",
        f"time: {cost['generator_step']:.3f} s a step of the generator alone, "
        f"{cost['joint_step']:.3f} s of both (mean of {cost['steps']}); "
        f"training {span(cost['seconds'])}",
    ]


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

    if not as_json:
        typer.echo(header(ablation))
    outcome = watched(
        lambda watch: run_ablation(
            ablation, watch, executor=executor, retry_failed=retry_failed, shard=shard
        )
    )
    if as_json:
        typer.echo(json.dumps(result_json(ablation, outcome), indent=2))
    else:
        _print_table(outcome)
        if executor.detached and not outcome.complete:
            typer.echo("jobs are submitted; the same command without --detach waits for them")
    raise typer.Exit(1 if outcome.failed else 0)


def result_json(ablation: Ablation, outcome: Outcome) -> dict[str, Any]:
    """The plan with every arm's results, as plain values."""
    plan = ablation.describe()
    # By way of pandas' own JSON, which writes NaN as null.
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

    # Into a file or a pipe the whole table goes, whatever the width of a terminal.
    console = Console() if sys.stdout.isatty() else Console(width=200)
    for table in outcome.tables:
        console.print(to_rich(table, console.width))
    for path in outcome.files:
        typer.echo(str(path))
    home = outcome.files[0].parents[2]
    typer.echo(f"{home / 'runs'}: configuration, scores and predictions of every run")
    typer.echo(f"spsam ui --out {home}: the same runs in MLflow")
    for folder in outcome.failed:
        typer.echo(f"failed: {folder.error if folder.error.exists() else folder.path}", err=True)
    if outcome.failed:
        typer.echo("spsam ablate --retry-failed, with the same words, tries them again", err=True)
