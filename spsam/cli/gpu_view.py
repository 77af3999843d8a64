"""Output of a plan for a GPU, which need not be installed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spsam.studies.planning.plan import Ablation

Ways = Mapping[str, Sequence[Mapping[str, Any]]]

_SUSTAINED = 50e12
"""Assumed operations per second for an estimate of time; not measured on any GPU."""
_LONG = 1000
"""Hours per run above which alternatives are suggested."""


def gpu_text(ablation: Ablation, room: float, ways: Ways, header: str) -> str:
    """The arms, the memory that each needs on a GPU of `room` GB, and the settings that fit."""
    lines = [header, f"GPU       {room:g} GB, not required here: estimated from shapes", ""]
    for planned in ablation.arms:
        lines.append(f"{planned.arm.name}: {planned.arm.title}")
        lines += [f"    {line}" for line in _lines(ways[planned.arm.name], room)]
        train = planned.arm.train
        lines += [f"    {line}" for line in _time(ways[planned.arm.name], train.steps)]
    return "\n".join([*lines, "", "Nothing was run: --dry-run."])


def gpu_json(ablation: Ablation, room: float, ways: Ways, header: str) -> str:
    """The same as JSON: `gpu` of each arm lists the settings tried."""
    plan = {**ablation.describe(), "device_memory": room * 1e9}
    for arm in plan["arms"]:
        arm["gpu"] = ways[arm["name"]]
    return json.dumps(plan, indent=2)


def _lines(ways: Sequence[Mapping[str, Any]], room: float) -> list[str]:
    lines = []
    for way in ways:
        memory = way["memory"]
        parts = ", ".join(
            f"{name} {size / 1e9:.2f}" for name, size in memory["kept_by_part"].items() if size
        )
        lines.append(
            f"{_named(way)}, {way['precision']}: {memory['peak'] / 1e9:.1f} GB at most, "
            f"{'fits' if way['fits'] else 'does not fit'} (weights {memory['weights'] / 1e9:.2f}, "
            f"gradients and optimiser {(memory['gradients'] + memory['optimizer']) / 1e9:.2f}, "
            f"activations {memory['kept'] / 1e9:.2f}: {parts}; "
            f"outside tensors {memory['overhead'] / 1e9:.2f})"
        )
    last = ways[-1]
    if not last["fits"]:
        lines.append(
            f"nothing fits into {room:g} GB: choose a smaller patch (patch.max_size), "
            "backbone.encoder_size or backbone, or a larger GPU"
        )
    elif len(ways) > 1:
        lines.append(f"use {_options(last)}; results do not change")
    return lines


def _named(way: Mapping[str, Any]) -> str:
    pieces = way["accumulate"]
    blocks = "activations recomputed" if way["checkpoint_activations"] else "activations kept"
    return f"{blocks}, batch {'whole' if pieces == 1 else f'in {pieces} pieces'}"


def _options(way: Mapping[str, Any]) -> str:
    twice = str(way["checkpoint_activations"]).lower()
    return f"--set train.accumulate={way['accumulate']} --set train.checkpoint_activations={twice}"


def _time(ways: Sequence[Mapping[str, Any]], steps: int) -> list[str]:
    """Operations per step, and an estimate of the hours, which no GPU has confirmed."""
    operations = ways[-1]["memory"]["operations"]
    hours = steps * operations / _SUSTAINED / 3600
    lines = [
        f"operations: {operations / 1e12:.2f} · 10¹² per step of both phases; a GPU that sustains "
        f"{_SUSTAINED / 1e12:.0f} · 10¹² per second needs about {hours:,.0f} h for {steps:,} steps"
    ]
    if hours > _LONG:
        lines.append(
            "this is too long for one GPU: use several (--devices), fewer epochs "
            "(--set train.epochs=…), a smaller backbone.encoder_size or backbone"
        )
    return lines
