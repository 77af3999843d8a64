"""Points and boxes of label maps: this package against the plain SciPy loop, side by side.

    OMP_NUM_THREADS=1 python benchmarks/prompts.py
    OMP_NUM_THREADS=1 python benchmarks/prompts.py --json > prompts.json

All ways take turns in one process, one thread, and the medians of the processor's time are
compared: what else the machine does meets all of them alike, and waiting for it is not counted.
Every way's points and boxes are checked against SciPy's.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import edt
import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import nn

import spsam
from spsam.engine.training.loss import training_loss
from spsam.engine.training.train import make_optimizer
from spsam.model.prompts.edt import EdtPrompt
from spsam.model.prompts.rules.distance import squared_distance
from spsam.model.prompts.types import Prompts

Labels = NDArray[np.uint8]
SIZES = {"9 × 16 × 512²": (9, 16, 512), "8 × 4 × 256²": (8, 4, 256)}
LIBRARIES = ("numpy", "scipy", "edt", "torch")


def label_maps(slices: int, classes: int, size: int) -> dict[str, Labels]:
    """`(N, H, W)` of each kind: smooth blobs, these with 2 % speckle, and an untrained head's."""
    random = np.random.default_rng(0)
    shape = (classes, slices, size, size)
    logits = random.standard_normal(shape, dtype=np.float32)
    noise = logits.argmax(axis=0).astype(np.uint8)
    blobs = ndimage.gaussian_filter(logits, (0, 0, size / 16, size / 16)).argmax(axis=0)
    blobs = blobs.astype(np.uint8)
    speckle = np.where(random.random(blobs.shape) < 0.02, noise, blobs)
    return {"blobs": blobs, "speckle": speckle, "noise": noise}


def scipy_loop(labels: Labels, classes: int) -> Prompts[NDArray[np.int64]]:
    """As anyone would write it: one distance transform a class and slice."""
    points = np.zeros((len(labels), classes, 2), dtype=np.int64)
    boxes = np.zeros((len(labels), classes, 4), dtype=np.int64)
    for n, image in enumerate(labels):
        for k in range(classes):
            mask = image == k
            rows, columns = mask.any(axis=1).nonzero()[0], mask.any(axis=0).nonzero()[0]
            if not rows.size:
                continue
            distance = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
            row, column = divmod(int(distance.argmax()), mask.shape[1])
            points[n, k] = column, row
            boxes[n, k] = columns[0], rows[0], columns[-1], rows[-1]
    return Prompts(points, boxes, np.any(boxes, axis=2))


def medians(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Milliseconds of processor time; the ways take turns."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            began = time.process_time()
            way()
            seconds[name].append(time.process_time() - began)
    return {name: 1e3 * statistics.median(taken) for name, taken in seconds.items()}


def compare(labels: Labels, classes: int, rounds: int) -> dict[str, float]:
    """Milliseconds of the loop, the rules of arrays and of tensors, and of the transform alone."""
    prompt = EdtPrompt(classes)
    tensor = torch.from_numpy(labels).long()
    wanted = scipy_loop(labels, classes)
    for got in (prompt.extract(labels), prompt._on_device(tensor)):
        assert got is not None
        assert np.array_equal(wanted.points, np.asarray(got.points))
        assert np.array_equal(wanted.boxes, np.asarray(got.boxes))
    return medians(
        {
            "scipy": lambda: scipy_loop(labels, classes),
            "array": lambda: prompt.extract(labels),
            "torch": lambda: prompt._on_device(tensor),
            "transform_edt": lambda: [edt.edtsq(image + 1, black_border=True) for image in labels],
            "transform": lambda: [squared_distance(image) for image in labels],
        },
        rounds,
    )


def training_step(rounds: int) -> dict[str, float]:
    """Milliseconds of a step of S9 on `sam_tiny`, two patches 4×128×128, and of its prompts."""
    arm = spsam.load_arm("S9", preset="cpu")
    network = spsam.build_network(
        arm, in_channels=1, num_classes=4, depth=4, image_size=(128, 128)
    ).train()
    optimizer = make_optimizer(network, arm.train)
    volume, labels = torch.randn(2, 1, 4, 128, 128), torch.randint(0, 4, (2, 4, 128, 128))
    spent: list[float] = []

    def start(module: nn.Module, inputs: Any) -> None:
        spent.append(-time.process_time())

    def stop(module: nn.Module, inputs: Any, output: Any) -> None:
        spent[-1] += time.process_time()

    network.prompt.register_forward_pre_hook(start)
    network.prompt.register_forward_hook(stop)

    def step() -> None:
        terms = training_loss(network(volume), labels, arm.train, network.mask_head.activation)
        optimizer.zero_grad(set_to_none=True)
        terms["total"].backward()
        optimizer.step()

    step()
    spent.clear()
    whole = medians({"step": step}, rounds)["step"]
    prompts = 1e3 * statistics.median(spent)
    return {"step": whole, "prompts": prompts, "share": prompts / whole}


def main() -> None:
    """Prints the tables, or everything as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9, help="turns of each way (default 9)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cells = []
    for name, size in SIZES.items():
        turns = options.rounds * (4 if size[2] < 512 else 1)  # what is quick varies most
        for kind, labels in label_maps(*size).items():
            cells.append({"size": name, "map": kind, **compare(labels, size[1], turns)})
    result = {
        "machine": {"processor": platform.machine(), "cores": os.cpu_count(), "threads": 1},
        "versions": {"python": platform.python_version()} | {n: version(n) for n in LIBRARIES},
        "rounds": options.rounds,
        "milliseconds": cells,
        "training_step": training_step(options.rounds),
    }
    print(json.dumps(result, indent=2) if options.json else table(result))


def table(result: dict[str, Any]) -> str:
    """The same, for readers: Markdown."""
    lines = [
        "Milliseconds of one thread (times faster than SciPy).",
        "",
        "| slices, classes, pixels | map | SciPy loop | arrays | tensors | edt alone | ours |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for cell in result["milliseconds"]:
        ways = [f"{cell[w]:.1f} ({cell['scipy'] / cell[w]:.1f}×)" for w in ("array", "torch")]
        alone = [f"{cell[way]:.1f}" for way in ("transform_edt", "transform")]
        row = [cell["size"], cell["map"], f"{cell['scipy']:.0f}", *ways, *alone]
        lines.append("| " + " | ".join(row) + " |")
    step = result["training_step"]
    lines += [
        "",
        f"Training step of S9 on sam_tiny: {step['step']:.0f} ms, of which prompts "
        f"{step['prompts']:.1f} ms, {100 * step['share']:.1f} %.",
        "",
        f"{result['machine']}, {result['versions']}, medians of {result['rounds']}",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
