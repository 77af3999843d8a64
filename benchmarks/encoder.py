"""SAM's image encoder beside the `segment-anything` package's, in turns.

    pip install -e .[bench]
    OMP_NUM_THREADS=1 python benchmarks/encoder.py
    OMP_NUM_THREADS=1 python benchmarks/encoder.py --precision bf16 --sizes 1024

One slice, random weights, no adapters, forward without gradients; medians of the processor's time
on a CPU, of the clock on a GPU. Memory is what a pass holds at its peak beyond the network. In 16
bits both run under autocast, ours with its frozen weights kept in them, as in training.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable

import torch
from torch import Tensor

from spsam.config.schema import ArmConfig, TrainConfig
from spsam.engine.assemble import build_network
from spsam.engine.bench.bench import held
from spsam.engine.bench.official import package_encoder
from spsam.engine.bench.parts import Parts, in_turns
from spsam.engine.device import pick_device
from spsam.engine.predict import PRECISIONS, autocast
from spsam.engine.training.train import execute_as
from spsam.model.sam.backbones import backbone_spec
from spsam.registry.arms import load_arm


def main() -> None:
    """Prints a line per size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="sam_vit_b")
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512, 1024])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    torch.set_num_threads(1)
    device = torch.device(pick_device(options.device))
    # S1 has neither adapters nor depth positions.
    arm = load_arm(
        "S1",
        {
            "backbone.name": options.backbone,
            "backbone.weights": "random",
            "train.precision": options.precision,
        },
    )
    titles = ("ours, s", "package, s", "ratio", "ours, MB", "package, MB")
    print(f"{'pixels':>6}" + "".join(f"{title:>12}" for title in titles))
    for size in options.sizes:
        slices = torch.randn(1, 3, size, size, device=device)
        ways = _encoders(arm, size, device)
        passes = {name: _timed(way, slices, arm.train) for name, way in ways.items()}
        peaks = {name: held(once, device) for name, once in passes.items()}
        ours, package = (
            statistics.median(seconds) for seconds in in_turns(passes, options.repeats).values()
        )
        memory = (peaks["ours"] / 1e6, peaks["package"] / 1e6)
        row = (
            f"{ours:.3f}",
            f"{package:.3f}",
            f"{ours / package:.2f}",
            *map("{:.0f}".format, memory),
        )
        print(f"{size:6}" + "".join(f"{value:>12}" for value in row), flush=True)


def _encoders(
    arm: ArmConfig, size: int, device: torch.device
) -> dict[str, Callable[[Tensor], object]]:
    network = build_network(arm, in_channels=1, num_classes=2, depth=1, image_size=(size, size))
    execute_as(arm.train, network)
    package = package_encoder(backbone_spec(arm.backbone.name), size)
    return {
        "ours": network.to(device).eval().encode_slices,
        "package": package.to(device).eval(),
    }


def _timed(
    way: Callable[[Tensor], object], slices: Tensor, train: TrainConfig
) -> Callable[[], float]:
    @torch.no_grad()
    def once() -> float:
        parts = Parts(slices.device)
        with parts.part("forward"), autocast(slices.device, train):
            way(slices)
        return parts.seconds["forward"]

    return once


if __name__ == "__main__":
    main()
