"""Planning and its output, shared by `ablate` and `train`."""

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
"""The network of arms that do not select another one."""
# Hours per run above which alternatives are suggested.
_TOO_LONG = 1000


def made_plan(
    request: Request, *, fit: bool, memory: float | None, gpu: float | None = None
) -> tuple[Ablation, Costs]:
    """Makes the plan, and measures its costs if it is to be fitted into memory.

    Args:
        request: The request.
        fit: Whether to fit steps into memory.
        memory: Available memory in GB; None: the free memory.
        gpu: Memory in GB of a GPU to plan for, which need not be installed; None: this machine.

    Returns:
        The plan and the measured costs, which are empty without `fit`.

    Raises:
        InputError: With every mistake in the request.
    """
    from spsam.cli.progress import watched
    from spsam.studies.backend import GpuElsewhere
    from spsam.studies.planning.costs import fitted
    from spsam.studies.tuning.plan import plan_study, tuning_of

    ablation = plan_study(request, GpuElsewhere() if gpu else None)
    warn_of_weights(arm.weights for arm in ablation.arms)
    if fit and tuning_of(ablation) is not None:
        raise InputError(
            "--fit: not available for a study with tuning; set train.accumulate and "
            "train.checkpoint_activations with --set instead"
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
    """Prints the plan of a dry run.

    Args:
        ablation: The plan.
        measured: Costs that were measured before.
        measure: Whether to measure costs; None: if `usual` is set and memory suffices.
        usual: Default of `measure`.
        as_json: Print JSON.
        gpu: Memory in GB of a GPU to plan for; costs are then estimated, not measured.
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
        # Measuring steps made for a GPU would take minutes on a CPU, if memory sufficed at all.
        measure = usual and large is None
    if measure and not measured:
        measured = watched(lambda watch: costs(ablation, watch))
    typer.echo((plan_json if as_json else plan_text)(ablation, measured, large))


def header(ablation: Ablation) -> str:
    """The header of the plan, in a few lines."""
    split, data = ablation.split, ablation.dataset
    sizes = dict.fromkeys("×".join(map(str, arm.plan.patch_size)) for arm in ablation.arms)
    networks = dict.fromkeys(
        _network(arm.arm, sam=arm.weights is not None) for arm in ablation.arms
    )
    epochs = dict.fromkeys(
        f"{arm.arm.train.epochs} epochs of {arm.arm.train.iterations} steps"
        for arm in ablation.arms
    )
    # Without weights of SAM, an arm has no encoder.
    wanted = {arm.arm.backbone.encoder_size for arm in ablation.arms if arm.weights}
    told = sorted(_size(each) for each in wanted)
    encoders = f", encoder {', '.join(told)}" if wanted - {None} else ""
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
            f"external  {each.name}: {len(each.sha256)} label maps in {each.folder}, compared with "
            f"{each.parent}; predicted by another program, scored by spsam"
            for each in ablation.externals
        ],
        *_tuning_lines(ablation),
    ]
    return "\n".join(lines)


def _tuning_lines(ablation: Ablation) -> list[str]:
    """The tuning before the runs and its cost."""
    from spsam.studies.tuning.plan import tuning_of

    tuning = tuning_of(ablation)
    if tuning is None:
        return []
    steps = sum(sweep.trials * sweep.base.arm.train.steps for sweep in tuning.sweeps.values())
    sweep = next(iter(tuning.sweeps.values()))
    searched = dict.fromkeys(d.key for each in tuning.sweeps.values() for d in each.space)
    lines = [
        f"tuning    {tuning.trials} trials before the runs, {steps:,} steps in total: "
        f"{', '.join(searched)} for {', '.join(tuning.sweeps)}, scored on "
        f"{len(sweep.context.split.test)} validation cases; no test case is used"
    ]
    if not tuning.done:
        lines.append("          run ids of tuned arms are determined after the tuning")
    return lines


def _network(arm: ArmConfig, *, sam: bool) -> str:
    """A network and its SAM; Self-Prompt SAM is represented by its SAM."""
    name = arm.network.name
    if not sam:
        return name
    return arm.backbone.name if name == DEFAULT_NETWORK else f"{name} on {arm.backbone.name}"


def _protocol_line(protocol: Protocol) -> str:
    split = f"; split {protocol.split}" if protocol.split else ""
    return f"protocol  {protocol.name}: {protocol.summary}{split} ({protocol.path})"


def _size(side: int | tuple[int, int] | str | None) -> str:
    if side is None or isinstance(side, str):
        return "as the patch" if side is None else f"{side} the patch"
    return "×".join(map(str, side)) if isinstance(side, tuple) else f"{side}×{side}"


def _large_lines(ablation: Ablation, large: Mapping[str, Any] | None) -> list[str]:
    """A note if runs are designed for a GPU and none is available, with the costs on this CPU."""
    from spsam.cli.progress import span

    if large is None:
        return []
    train = ablation.arms[0].arm.train
    hours = large["seconds"] / 3600
    advice = (
        [
            f"machine   {hours:,.0f} hours per run are not practical: use a machine with a GPU "
            "(--device-memory 24GB plans for one), or --preset cpu, whose schedule is designed for "
            "two cores"
        ]
        if hours > _TOO_LONG
        else []
    )
    return [
        f"machine   no GPU, but {large['arm']} with the preset {ablation.preset} is designed for "
        f"one: on this CPU it needs about {large['peak'] / 1e9:,.0f} GB of memory "
        f"({large['free'] / 1e9:,.0f} GB are free), {large['joint_step']:,.0f} s per step and "
        f"{span(large['seconds'])} for the {train.steps:,} steps of a run "
        "(estimated from the number of operations)",
        *advice,
    ]


def plan_text(ablation: Ablation, measured: Costs, large: Mapping[str, Any] | None = None) -> str:
    """The arms with their changes, numbers of trained parameters and costs.

    `large` is the result of `spsam.studies.planning.costs.too_large`.
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
    """The number of parameters per component, for slots with several components."""
    each = [f"{key.partition('.')[2]} {count:,}" for key, count in counts.items() if "." in key]
    return f" ({', '.join(each)})" if each else ""


def _changes(diff: Sequence[Mapping[str, Any]]) -> list[str]:
    """One line per change; for parameters of a new component, the value and its default."""
    keys = {change["key"] for change in diff}
    return [
        f"{change['key']}: {change['value']} (default: {change['parent']})"
        if any(change["key"].startswith(f"{key}.") for key in keys)
        else f"{change['key']}: {change['parent']} -> {change['value']}"
        for change in diff
    ]


def plan_json(ablation: Ablation, measured: Costs, large: Mapping[str, Any] | None = None) -> str:
    """The same as JSON."""
    plan = {**ablation.describe(), "without_gpu": large}
    for arm in plan["arms"]:
        if arm["name"] in measured:
            arm["cost"] = measured[arm["name"]]
    return json.dumps(plan, indent=2)


def _total(ablation: Ablation, measured: Costs) -> list[str]:
    """The total cost of all runs, if every arm was measured."""
    from spsam.cli.progress import span
    from spsam.studies.tuning.plan import tuning_of

    known = [(arm, measured.get(arm.arm.name)) for arm in ablation.arms]
    if any(cost is None for _, cost in known):
        return []
    tuning = tuning_of(ablation)
    sweeps = {} if tuning is None else tuning.sweeps
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
        return ["memory: a step needs more than is free; --fit splits it into smaller pieces"]
    sizes = {
        key: f"{cost[key] / 1e6:,.0f} MB" for key in ("weights", "training", "activations", "peak")
    }
    return [
        f"memory: {sizes['peak']} at most (weights {sizes['weights']}, gradients and optimiser "
        f"{sizes['training']}, activations {sizes['activations']}); "
        f"{cost['free'] / 1e9:.1f} GB are free",
        f"time: {cost['generator_step']:.3f} s per step of the generator alone, "
        f"{cost['joint_step']:.3f} s per step of both phases (mean of {cost['steps']}); "
        f"training {span(cost['seconds'])}",
    ]
