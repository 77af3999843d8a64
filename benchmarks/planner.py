"""Memory that `--fit` and `--dry-run` report, beside the memory that a training holds.

    OMP_NUM_THREADS=1 python benchmarks/planner.py
    OMP_NUM_THREADS=1 python benchmarks/planner.py --only S2 --json

Each run is planned by one process, as `spsam ablate --dry-run` does, estimated from its operations
by a second, and trained by a third, in both phases and with checkpoints, by the loop of `spsam
train`. Peaks are of resident memory beyond what the process held before. Linux only.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import torch
from torch.utils.data import Dataset

from spsam.config.schema import DataIdentity, RunConfig
from spsam.data.sampling.patches import Patch
from spsam.engine.assemble import network_for
from spsam.engine.device import give_back
from spsam.engine.recording.cost import PeakMemory
from spsam.engine.training.batches import random_batch
from spsam.engine.training.estimate import estimate
from spsam.engine.training.measure import measure
from spsam.engine.training.train import Training, fit
from spsam.registry.arms import load_arm

CLASSES = 4
# Arm, patch, values on top of the preset.
GRID: list[tuple[str, tuple[int, int, int], dict[str, Any]]] = [
    ("S9", (4, 64, 64), {}),
    ("S9", (4, 64, 64), {"train.accumulate": 2}),
    ("S9", (4, 128, 128), {}),
    ("S9", (4, 128, 128), {"train.precision": "bf16"}),
    ("S9", (4, 128, 128), {"train.checkpoint_activations": True}),
    ("S9", (4, 128, 128), {"train.accumulate": 2}),
    ("S9", (8, 128, 128), {"train.batch_size": 1}),
    ("S2", (4, 128, 128), {}),
    ("S5", (4, 128, 128), {"train.batch_size": 4}),
    ("unet3d", (4, 128, 128), {}),
    (
        "S9",
        (1, 256, 256),
        {
            "backbone.name": "sam_vit_b",
            "backbone.encoder_size": 1024,
            "train.batch_size": 1,
            "train.checkpoint_activations": True,
        },
    ),
]


class Noise(Dataset[Patch]):
    """Patches of noise.

    Args:
        patch: (D, H, W).
        length: How many.
    """

    def __init__(self, patch: tuple[int, int, int], length: int) -> None:
        self.patch, self.length = patch, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, number: int) -> Patch:
        batch = random_batch(1, 1, self.patch, CLASSES, seed=number)
        return {"image": batch["image"][0], "label": batch["label"][0]}


def planned(config: RunConfig, patch: tuple[int, int, int]) -> int:
    """Bytes that the planner names."""
    cost = measure(config, patch, "cpu")
    assert cost is not None, "memory does not suffice"
    return cost.peak


def estimated(config: RunConfig, patch: tuple[int, int, int]) -> int:
    """Bytes estimated from operations in float32, before a large run executes any step."""
    return estimate(config, patch).peak


def held(config: RunConfig, patch: tuple[int, int, int]) -> int:
    """Bytes that a training of both phases takes."""
    give_back()
    before = psutil.Process().memory_info().rss
    memory = PeakMemory(torch.device("cpu"))
    train = config.arm.train
    patches = Noise(patch, train.epochs * train.iterations * train.batch_size)
    with tempfile.TemporaryDirectory() as folder:
        network = network_for(config, patch, None)
        home = Path(folder)
        fit(Training(network, patches, config.arm, home / "last.pt", home / "log.jsonl", {}))
    return int(memory.read()["peak_memory_bytes"]) - before


def run_of(arm: str, changes: dict[str, Any]) -> RunConfig:
    """A short training of an arm."""
    short = {"train.epochs": 2, "train.iterations": 3, "train.generator_epochs": 1}
    weights = {"backbone.weights": "random"}
    data = DataIdentity(
        name="noise",
        fingerprint="",
        split_name="none",
        split_hash="",
        num_classes=CLASSES,
        class_names=tuple(f"class {number}" for number in range(CLASSES)),
        in_channels=1,
    )
    config = load_arm(arm, {**short, **weights, **changes}, preset="fast")
    return RunConfig(arm=config, preset="fast", data=data)


def alone(work: Callable[[], int]) -> int:
    """What a function returns in a process of its own, which begins as this one is now."""
    context = multiprocessing.get_context("fork")
    results: Any = context.SimpleQueue()
    process = context.Process(target=_answer, args=(work, results))
    process.start()
    process.join()
    assert process.exitcode == 0, f"the process ended with {process.exitcode}"
    return int(results.get())


def _answer(work: Callable[[], int], results: Any) -> None:
    torch.set_num_threads(1)
    results.put(work())


def main() -> None:
    """Prints a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", help="Arms of the grid, or sizes in the plane.")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = []
    for arm, patch, changes in GRID:
        if options.only and not {arm, str(patch[1])} & set(options.only):
            continue
        config = run_of(arm, changes)
        ways = (planned, estimated, held)
        plan, first, peak = (alone(partial(way, config, patch)) for way in ways)
        row = {"arm": arm, "patch": patch, "set": changes, "planned": plan, "held": peak}
        row |= {"estimated": first, "estimated_ratio": round(first / peak, 3)}
        rows.append(row | {"ratio": round(plan / peak, 3)})
        if not options.json:
            size = "×".join(map(str, patch))
            ratio = f"{plan / 1e6:8.0f} MB planned{peak / 1e6:8.0f} MB held{plan / peak:7.2f}"
            ratio += f"{first / peak:7.2f} estimated"
            print(f"{arm:8}{size:12}{ratio}  {changes or ''}", flush=True)
    if options.json:
        print(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
