"""How cost grows: a training step with every size of a patch, a study with its runs.

    OMP_NUM_THREADS=1 python benchmarks/scaling.py
    OMP_NUM_THREADS=1 python benchmarks/scaling.py --arm S9 --repeats 5 --pictures docs/pictures

Processor time and peak memory of a step of one arm, preset `fast`, at 4 × 64 × 64 pixels, 4 classes
and 1 modality, one of them changed at a time; planning a study, as `spsam ablate --dry-run` does,
and reporting a made-up one, as `spsam report` does. Over the larger half of the sizes a power law
is fitted: its exponent stands in the picture, and is printed.
"""

from __future__ import annotations

import argparse
import gc
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import report
import torch
from matplotlib.ticker import LogLocator

from spsam.engine.bench.bench import Sizes, network_of, peak, timed_step
from spsam.engine.training.batches import random_batch
from spsam.registry.arms import load_arm
from spsam.studies.planning.planner import plan_ablation
from spsam.studies.planning.request import Request

BASE = Sizes(batch=1, channels=1, classes=4, patch=(4, 64, 64))
DEPTHS = (1, 2, 4, 8, 16)
SIDES = (32, 64, 96, 128, 192)
CLASSES = (2, 4, 8, 16)
CHANNELS = (1, 2, 4, 8)
BACKBONES = ("sam_tiny", "sam_vit_b", "sam_vit_l")
RUNS = (8, 32, 128, 512)
CASES = 20


@dataclass
class Line:
    """Costs along one axis.

    Attributes:
        name: Of the axis.
        at: Places on it.
        seconds: Of the processor.
        memory: Bytes; empty where it was not measured.
    """

    name: str
    at: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)

    def add(self, place: float, seconds: float, memory: float | None = None) -> None:
        """One more place."""
        self.at.append(place)
        self.seconds.append(seconds)
        if memory is not None:
            self.memory.append(memory)
        told = "" if memory is None else f"{memory / 1e6:10.0f} MB"
        print(f"{self.name:24}{place:12g}{seconds:10.3f} s{told}", flush=True)


def main() -> None:
    """Measures, prints, draws."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--arm", default="S9")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--pictures", type=Path, help="A folder for scaling.png and scaling.json.")
    options = parser.parse_args()
    torch.set_num_threads(1)
    lines = [*steps(options.arm, options.repeats), *studies(options.arm)]
    laws = {line.name: {"seconds": law(line.at, line.seconds)} for line in lines}
    for line in lines:
        if line.memory:
            laws[line.name]["memory"] = law(line.at, line.memory)
    for name, exponents in laws.items():
        print(f"{name:24}", {cost: round(value, 2) for cost, value in exponents.items()})
    if options.pictures:
        draw(lines, options.pictures / "scaling.png")
        values = {"arm": options.arm, "laws": laws, "lines": [vars(line) for line in lines]}
        (options.pictures / "scaling.json").write_text(json.dumps(values, indent=1) + "\n")


def steps(arm: str, repeats: int) -> list[Line]:
    """Of a training step."""

    def along(name: str, places: Sequence[Any], change: Callable[[Any], Sizes]) -> Line:
        line = Line(name)
        for place in places:
            line.add(place, *step_cost(arm, change(place), "sam_tiny", repeats))
        return line

    _, height, width = BASE.patch
    lines = [
        along("slices", DEPTHS, lambda depth: replace(BASE, patch=(depth, height, width))),
        along("side, pixels", SIDES, lambda side: replace(BASE, patch=(BASE.patch[0], side, side))),
        along("classes", CLASSES, lambda count: replace(BASE, classes=count)),
        along("modalities", CHANNELS, lambda count: replace(BASE, channels=count)),
    ]
    backbones = Line("backbone, parameters")
    for name in BACKBONES:
        # Patches of 16 pixels instead of 8: the same number of tokens.
        side = 64 if name == "sam_tiny" else 128
        sizes = replace(BASE, patch=(1, side, side))
        backbones.add(parameters(arm, name, sizes), *step_cost(arm, sizes, name, 1))
    return [*lines, backbones]


def step_cost(arm: str, sizes: Sizes, backbone: str, repeats: int) -> tuple[float, int]:
    """Median seconds, and peak bytes beyond the network."""
    config = load_arm(arm, {"backbone.name": backbone}, preset="fast")
    batch = random_batch(sizes.batch, sizes.channels, sizes.patch, sizes.classes)
    step = timed_step(network_of(config, sizes), config.train, batch)
    memory = peak(step, step.optimizer, step.device)
    seconds = statistics.median(sum(step().values()) for _ in range(repeats))
    del step
    gc.collect()
    return seconds, memory


def parameters(arm: str, backbone: str, sizes: Sizes) -> int:
    """Of the whole network; nothing is computed."""
    config = load_arm(arm, {"backbone.name": backbone}, preset="fast")
    with torch.device("meta"):
        network = network_of(config, sizes)
    return sum(parameter.numel() for parameter in network.parameters())


def studies(arm: str) -> list[Line]:
    """Of a study with its runs: planned, and reported."""
    planning, reporting = Line("runs planned"), Line("runs reported")
    for runs in RUNS:
        with tempfile.TemporaryDirectory() as folder:
            began = time.process_time()
            plan_ablation(Request(arms=[arm], home=Path(folder), seeds=range(runs)))
            planning.add(runs, time.process_time() - began)
        with tempfile.TemporaryDirectory() as folder:
            home = Path(folder)
            report.make(home, arms=runs // 4, seeds=4, cases=CASES)
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            command = [sys.executable, "-c", report.CHILD, str(home), "--no-pdf"]
            subprocess.run(command, check=True, capture_output=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            reporting.add(runs, _processor(after) - _processor(before))
    return [planning, reporting]


def _processor(usage: Any) -> float:
    return float(usage.ru_utime + usage.ru_stime)


def law(at: Sequence[float], costs: Sequence[float]) -> float:
    """Exponent of a power law through the larger half of the places, two at least."""
    first = min(len(at) // 2, len(at) - 2)
    slope, _ = np.polyfit(np.log(at[first:]), np.log(costs[first:]), 1)
    return float(slope)


def draw(lines: Sequence[Line], path: Path) -> None:
    """One panel an axis: time, and memory beside it."""
    columns = 4
    rows = -(-len(lines) // columns)
    figure, panels = plt.subplots(rows, columns, figsize=(12, 2.9 * rows), layout="constrained")
    for panel, line in zip(panels.flat, lines, strict=False):
        _series(panel, line.at, line.seconds, "C0", "o-")
        panel.set_ylabel("processor time, s", color="C0")
        if line.memory:
            other = panel.twinx()
            _series(other, line.at, [each / 1e6 for each in line.memory], "C1", "s--")
            other.set_ylabel("peak memory, MB", color="C1")
        panel.set_xlabel(line.name)
        exponents = [f"time: power {law(line.at, line.seconds):.2f}"]
        if line.memory:
            exponents.append(f"memory: power {law(line.at, line.memory):.2f}")
        panel.set_title(", ".join(exponents), fontsize=8)
        panel.set_xticks(line.at, [_short(place) for place in line.at])
        panel.minorticks_off()
    for panel in panels.flat[len(lines) :]:
        panel.remove()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _series(
    panel: Any, at: Sequence[float], values: Sequence[float], colour: str, style: str
) -> None:
    panel.loglog(at, values, style, color=colour, markersize=4)
    # At least a decade: a line that hardly rises is to look so.
    low, high = min(values), max(values)
    middle = (low * high) ** 0.5
    panel.minorticks_off()
    panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    panel.yaxis.set_major_formatter("{x:g}")
    panel.set_ylim(min(low / 1.3, middle / 3.2), max(high * 1.3, middle * 3.2))


def _short(place: float) -> str:
    return f"{place / 1e6:.0f} M" if place >= 1e6 else f"{place:g}"


if __name__ == "__main__":
    main()
