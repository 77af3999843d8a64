"""`spsam bench`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from spsam.cli import completion
from spsam.cli.options import PRESETS, AsJson, Device, Overrides, Plugin

if TYPE_CHECKING:
    from spsam.config.schema import ArmConfig
    from spsam.engine.bench.bench import Bench, Timing

EPILOG = "Example: spsam bench S9 --backbone sam_vit_b --size 256 --against official"


def bench(  # noqa: PLR0917 - the command line's options
    arm: Annotated[
        str,
        typer.Argument(help="Name of an arm, or a YAML file.", autocompletion=completion.arms),
    ],
    preset: Annotated[
        str | None,
        typer.Option(
            help=f"Training preset: {PRESETS} [default: none].", autocompletion=completion.presets
        ),
    ] = None,
    backbone: Annotated[
        str | None, typer.Option(help="sam_tiny, sam_vit_b, … [default: the arm's].")
    ] = None,
    size: Annotated[
        int, typer.Option(min=8, max=4096, help="Height and width of a patch, pixels.")
    ] = 128,
    depth: Annotated[int, typer.Option(min=1, max=1024, help="Number of slices of a patch.")] = 4,
    batch: Annotated[int, typer.Option(min=1, max=1024, help="Batch size.")] = 1,
    classes: Annotated[
        int, typer.Option(min=2, max=1024, help="Number of classes, including the background.")
    ] = 4,
    channels: Annotated[int, typer.Option(min=1, max=1024, help="Number of image channels.")] = 1,
    precision: Annotated[
        str | None, typer.Option(help="fp32, bf16 or fp16 [default: the arm's].")
    ] = None,
    overrides: Overrides = None,
    against: Annotated[
        str | None,
        typer.Option(
            help="Reference: official (the same network on segment-anything's modules), another "
            "arm, or KEY=VALUE (the same arm with another value).",
        ),
    ] = None,
    repeats: Annotated[
        int, typer.Option(min=1, help="Number of measured steps; the median is reported.")
    ] = 5,
    threads: Annotated[int, typer.Option(min=1, max=1024, help="Number of CPU threads.")] = 1,
    device: Device = "auto",
    plugin: Plugin = None,
    as_json: AsJson = False,
) -> None:
    """Measure a network's parameters, operations, memory and time.

    The time of a step is measured for each of its parts.
    """
    from spsam.config.overrides import parse_overrides
    from spsam.registry.arms import load_arm

    values = parse_overrides(overrides or [])
    own = {"backbone.name": backbone, "train.precision": precision}
    values = {**{key: value for key, value in own.items() if value is not None}, **values}
    over = Path(preset) if preset else None
    plugins = plugin or ()
    config = load_arm(arm, values, preset=over, plugins=plugins)
    other: ArmConfig | Literal["official"] | None = None
    if against == "official":
        other = "official"
    elif against:
        changed = parse_overrides([against]) if "=" in against else {}
        named = arm if changed else against
        other = load_arm(named, {**values, **changed}, preset=over, plugins=plugins)
        other = other.model_copy(update={"name": against})

    from spsam.engine.bench.bench import Sizes
    from spsam.engine.bench.bench import bench as measured
    from spsam.engine.device import pick_device

    where = pick_device(device)
    result = measured(
        config.on(where),
        Sizes(batch, channels, classes, (depth, size, size)),
        device=where,
        repeats=repeats,
        threads=threads,
        against=other if other is None or other == "official" else other.on(where),
    )
    typer.echo(json.dumps(result.to_dict(), indent=2) if as_json else _text(result))


def _text(result: Bench) -> str:
    sizes = result.sizes
    patch = " × ".join(str(side) for side in sizes.patch)
    lines = [
        f"{result.arm} on {result.backbone}, {sizes.batch} × {patch}, {sizes.classes} classes, "
        f"{result.precision}, {result.device}",
        f"{result.parameters['trained']:,} of {result.parameters['total']:,} parameters are "
        f"trained, starting at {result.trained_from}; {result.gigaflops:,.1f} GFLOPs per patch",
        f"{result.seconds_of} time in milliseconds, medians of {result.repeats} steps"
        + "".join(f"; alternating with {name}" for name in result.against),
        "",
        _row("", ["here"], ["against", "ratio"] if result.against else []),
    ]
    columns = [result.own, *result.against.values()]
    for name in [*result.own.parts, "step", "inference"]:
        times = [f"{1e3 * _seconds(timing, name):.1f}" for timing in columns]
        lines.append(_row(name, times, [f"{r[name]:.2f}" for r in result.ratio.values()]))
    memory = [f"{timing.peak_memory_bytes / 1e6:.0f}" for timing in columns]
    ratios = [f"{r['peak_memory_bytes']:.2f}" for r in result.ratio.values()]
    return "\n".join([*lines, _row("peak memory, MB", memory, ratios)])


def _seconds(timing: Timing, name: str) -> float:
    own = {"step": timing.step, "inference": timing.inference}
    return own[name] if name in own else timing.parts[name]


def _row(name: str, values: list[str], ratios: list[str]) -> str:
    return f"{name:18}" + "".join(f"{value:>12}" for value in [*values, *ratios])
