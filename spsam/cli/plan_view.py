"""What `ablate` and `train` share: making a plan, and how it is shown."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

from spsam.cli.notices import warn_of_weights, weights_lines
from spsam.errors import InputError

if TYPE_CHECKING:
    from spsam.config.schema import ArmConfig
    from spsam.registry.protocols import Protocol
    from spsam.studies.planning.costs import Costs
    from spsam.studies.planning.plan import Ablation
    from spsam.studies.planning.request import Request

_SHOWN_CHANGES = 4
DEFAULT_NETWORK = "self_prompt_sam"
"""Of every arm that names no other."""
# Hours of a run from which another way is proposed.
_TOO_LONG = 1000


def made_plan(
    request: Request, *, fit: bool, memory: float | None, gpu: float | None = None
) -> tuple[Ablation, Costs]:
    """The plan, and what was measured to fit it into memory.

    With `gpu`, GB of one that need not be here, the plan is for that.

    Raises:
        InputError: With every mistake in the request.
    """
    from spsam.cli.progress import watched
    from spsam.studies.backend import GpuElsewhere
    from spsam.studies.planning.costs import fitted
    from spsam.studies.planning.planner import plan_ablation

    ablation = plan_ablation(request, GpuElsewhere() if gpu else None)
    warn_of_weights(arm.weights for arm in ablation.arms)
    if fit and ablation.tuning is not None:
        raise InputError(
            "--fit: the study tunes its arms before their runs; give train.accumulate and "
            "train.checkpoint_activations by --set"
        )
    return watched(lambda watch: fitted(ablation, watch, memory)) if fit else (ablation, {})


def show_plan(
    ablation: Ablation,
    measured: Costs,
    measure: bool | None,
    *,
    usual: bool,
    as_json: bool,
    gpu: float | None = None,
) -> None:
    """What a dry run prints.

    Args:
        ablation: The plan.
        measured: What is known of its costs.
        measure: Whether unknown costs are measured; None: where `usual` and the machine can.
        usual: See above.
        as_json: For a program.
        gpu: GB of a GPU that need not be here; nothing is measured then.
    """
    from spsam.cli.gpu_view import gpu_json, gpu_text
    from spsam.cli.progress import watched
    from spsam.studies.planning.costs import costs, on_gpu, too_large

    if gpu is not None:
        ways = watched(lambda watch: on_gpu(ablation, gpu, watch))
        show = gpu_json if as_json else gpu_text
        typer.echo(show(ablation, gpu, ways, header(ablation)))
        return
    large = too_large(ablation)
    if measure is None:
        # Steps that are made for a GPU would be measured for minutes, if memory sufficed.
        measure = usual and large is None
    if measure and not measured:
        measured = watched(lambda watch: costs(ablation, watch))
    typer.echo((plan_json if as_json else plan_text)(ablation, measured, large))


def header(ablation: Ablation) -> str:
    """What is about to run, in a few lines."""
    split, data = ablation.split, ablation.dataset
    sizes = dict.fromkeys("×".join(map(str, arm.plan.patch_size)) for arm in ablation.arms)
    networks = dict.fromkeys(
        _network(arm.arm, sam=arm.weights is not None) for arm in ablation.arms
    )
    epochs = dict.fromkeys(
        f"{arm.arm.train.epochs} epochs of {arm.arm.train.iterations} steps"
        for arm in ablation.arms
    )
    wanted = dict.fromkeys(
        _size(arm.arm.backbone.encoder_size)
        for arm in ablation.arms
        if arm.weights and arm.arm.backbone.encoder_size is not None
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
        *[
            f"external  {each.name}: {len(each.sha256)} label maps of {each.folder}, compared with "
            f"{each.parent}; predicted elsewhere, scored by spsam"
            for each in ablation.externals
        ],
        *_tuning_lines(ablation),
    ]
    return "\n".join(lines)


def _tuning_lines(ablation: Ablation) -> list[str]:
    """What is tuned before the runs, and what it costs."""
    tuning = ablation.tuning
    if tuning is None:
        return []
    steps = sum(
        sweep.trials * sweep.base.arm.train.epochs * sweep.base.arm.train.iterations
        for sweep in tuning.sweeps.values()
    )
    sweep = next(iter(tuning.sweeps.values()))
    searched = dict.fromkeys(d.key for each in tuning.sweeps.values() for d in each.space)
    lines = [
        f"tuning    {tuning.trials} trials before the runs, {steps:,} steps in all: "
        f"{', '.join(searched)} for {', '.join(tuning.sweeps)}, scored on "
        f"{len(sweep.context.split.test)} validation cases, no test case is seen"
    ]
    if not tuning.done:
        lines.append("          run ids of tuned arms are known once their values are chosen")
    return lines


def _network(arm: ArmConfig, *, sam: bool) -> str:
    """A network's name, and its SAM's; Self-Prompt SAM is known by its SAM."""
    name = arm.network.name
    if not sam:
        return name
    return arm.backbone.name if name == DEFAULT_NETWORK else f"{name} on {arm.backbone.name}"


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
    hours = large["seconds"] / 3600
    advice = (
        [
            f"machine   that is {hours:,.0f} hours a run, which is not practical here: take a "
            "machine with a GPU (--device-memory 24GB plans for one), or --preset cpu, whose "
            "schedule is for two cores"
        ]
        if hours > _TOO_LONG
        else []
    )
    return [
        f"machine   without a GPU, for which {large['arm']} under the preset {ablation.preset} is "
        f"made: on this processor about {large['peak'] / 1e9:,.0f} GB of memory "
        f"({large['free'] / 1e9:,.0f} GB are free), {large['joint_step']:,.0f} s a step and "
        f"{span(large['seconds'])} for the {train.epochs * train.iterations:,} steps of a run "
        "(estimated from its operations)",
        *advice,
    ]


def plan_text(ablation: Ablation, measured: Costs, large: Mapping[str, Any] | None = None) -> str:
    """The arms, what each changes, how much it trains and what that takes.

    `large` is what `spsam.studies.planning.costs.too_large` found.
    """
    lines = [header(ablation), *_large_lines(ablation, large), ""]
    for planned in ablation.arms:
        base = f" (from {planned.base})" if planned.base else ""
        ids = ", ".join(run.folder.run_id for run in planned.runs)
        lines.append(f"{planned.arm.name}{base}: {planned.arm.title}")
        changes = _changes(planned.diff)
        lines += [f"    {change}" for change in changes[:_SHOWN_CHANGES]]
        if len(changes) > _SHOWN_CHANGES:
            lines.append(f"    and {len(changes) - _SHOWN_CHANGES} more (--json shows all)")
        lines.append(
            f"    trains {planned.size.trained:,} of {planned.size.total:,} parameters"
            f"{_several(planned.size.blocks)}; run {ids}"
        )
        lines += [f"    {line}" for line in _cost_lines(planned.arm.name, measured)]
    return "\n".join([*lines, *_total(ablation, measured), "", "Nothing was run: --dry-run."])


def _several(counts: Mapping[str, int]) -> str:
    """The parameters of each component of a slot that has several."""
    each = [f"{key.partition('.')[2]} {count:,}" for key, count in counts.items() if "." in key]
    return f" ({', '.join(each)})" if each else ""


def _changes(diff: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line a change; a parameter of a component that the parent has not is set, not changed."""
    keys = {change["key"] for change in diff}
    return [
        f"{change['key']}: {change['value']} (by default {change['parent']})"
        if any(change["key"].startswith(f"{key}.") for key in keys)
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
    sweeps = {} if ablation.tuning is None else ablation.tuning.sweeps
    trials = {arm: sweep.trials for arm, sweep in sweeps.items()}
    times = {arm.arm.name: len(arm.runs) + trials.get(arm.arm.name, 0) for arm, _ in known}
    seconds = sum(cost["seconds"] * times[arm.arm.name] for arm, cost in known if cost)
    and_trials = f" and {sum(trials.values())} trials" if trials else ""
    peak = max(cost["peak"] for _, cost in known if cost)
    return [
        f"all {len(ablation.runs)} runs{and_trials}: training {span(seconds)} one after the other, "
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
