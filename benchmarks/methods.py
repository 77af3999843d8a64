"""A training step of Self-Prompt SAM beside SAMed's and nnU-Net's, side by side.

    pip install -e .
    OMP_NUM_THREADS=1 python benchmarks/methods.py
    OMP_NUM_THREADS=1 python benchmarks/methods.py --size 512 --classes 16 --precision bf16 --json

All networks take the same patches, losses and optimiser, with random weights, and take turns in one
process; medians are of the processor's time on a CPU, of the clock on a GPU.

- `ours`: the arm, `--set` as in `spsam ablate`.
- `samed`: the arm: LoRA of rank 4 on q and v of every block, SAM's mask decoder trained, one
  output mask a class; tests/model/networks/test_samed.py has its published construction.
- `nnunet`: the arm: nnU-Net's plain network for the patch, with deep supervision.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from typing import Any

import torch

from spsam.config.overrides import parse_overrides
from spsam.config.schema import TrainConfig
from spsam.data.sampling.patches import Patch
from spsam.engine.assemble import build_network
from spsam.engine.bench.bench import peak
from spsam.engine.bench.parts import Parts, in_turns
from spsam.engine.device import pick_device
from spsam.engine.predict import autocast
from spsam.engine.training.batches import random_batch
from spsam.engine.training.loss import training_loss
from spsam.engine.training.train import execute_as
from spsam.model.networks.base import Output
from spsam.registry.arms import load_arm

SPACING = (5.0, 1.0, 1.0)
"""Of a patch of few slices, mm."""


class Step:
    """A whole step of any of the networks, and a forward pass without gradients."""

    def __init__(self, network: Any, train: TrainConfig, batch: Patch, device: str) -> None:
        self.device = torch.device(device)
        self.network = network.to(self.device).train()
        self.train = train
        self.image, self.labels = (batch[key].to(self.device) for key in ("image", "label"))
        parameters = [each for _, each in network.trained_parameters()]
        self.optimizer = torch.optim.AdamW(parameters, fused=self.device.type == "cuda")

    def __call__(self) -> float:
        """Seconds of a step."""
        parts = Parts(self.device)
        with parts.part("step"):
            terms = training_loss(
                self._forward(), self.labels, self.train, self.network.mask_head.activation
            )
            self.optimizer.zero_grad(set_to_none=True)
            terms["total"].backward()
            self.optimizer.step()
        return parts.seconds["step"]

    @torch.no_grad()
    def infer(self) -> float:
        """Seconds of a forward pass."""
        parts = Parts(self.device)
        with parts.part("forward"):
            self._forward()
        return parts.seconds["forward"]

    def _forward(self) -> Output:
        with autocast(self.device, self.train):
            output: Output = self.network(self.image)
        return output


def main() -> None:
    """Prints a table, or JSON."""
    options = _options()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    changes = {
        "backbone.name": options.backbone,
        "backbone.weights": "random",
        "train.precision": options.precision,
        **parse_overrides(options.set),
    }
    arm = load_arm(options.arm, changes, preset=options.preset)
    patch, device = (options.depth, options.size, options.size), pick_device(options.device)
    others = {name: load_arm(name, changes, preset=options.preset) for name in ("samed", "nnunet")}
    networks: dict[str, Any] = {
        name: build_network(
            one,
            in_channels=1,
            num_classes=options.classes,
            depth=patch[0],
            image_size=patch[1:],
            spacing=SPACING,
        )
        for name, one in {"ours": arm, **others}.items()
    }
    for each in networks.values():
        execute_as(arm.train, each)
    batch = random_batch(options.batch, 1, patch, options.classes)
    steps = {name: Step(each, arm.train, batch, device) for name, each in networks.items()}
    result = _measured(steps, options.repeats)
    if options.json:
        print(json.dumps(vars(options) | {"device": device, "networks": result}, indent=2))
        return
    print(f"{'':8}{'step, s':>12}{'inference, s':>14}{'peak, MB':>10}{'trained':>14}")
    for name, row in result.items():
        print(
            f"{name:8}{row['step']:12.3f}{row['inference']:14.3f}"
            f"{row['peak_memory_bytes'] / 1e6:10.0f}{row['trained']:14,}"
        )


def _measured(steps: dict[str, Step], repeats: int) -> dict[str, dict[str, Any]]:
    peaks = {name: peak(step, step.optimizer, step.device) for name, step in steps.items()}
    trained = in_turns(_ways(steps, lambda step: step), repeats)
    inferred = in_turns(_ways(steps, lambda step: step.infer), repeats)
    return {
        name: {
            "step": statistics.median(trained[name]),
            "inference": statistics.median(inferred[name]),
            "peak_memory_bytes": peaks[name],
            "trained": sum(p.numel() for p in step.network.parameters() if p.requires_grad),
        }
        for name, step in steps.items()
    }


def _ways(
    steps: dict[str, Step], way: Callable[[Step], Callable[[], float]]
) -> dict[str, Callable[[], float]]:
    return {name: way(step) for name, step in steps.items()}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--arm", default="S9")
    parser.add_argument("--preset")
    parser.add_argument("--backbone", default="sam_vit_b")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--classes", type=int, default=4)
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
