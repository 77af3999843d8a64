"""What a training takes of a GPU, planned from shapes: a table, and the plan beside what is held.

    OMP_NUM_THREADS=1 python benchmarks/gpu_memory.py            # the table of docs/guides/gpu.md
    OMP_NUM_THREADS=1 python benchmarks/gpu_memory.py --check

`--check` takes real steps on a CPU, by the code that a GPU runs (fused attention, none in blocks),
and counts every tensor from its making to its end; beside that, what the system counts as resident.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from unittest import mock

import torch

from spsam.config.schema import ArmConfig, DataIdentity, RunConfig
from spsam.engine.assemble import network_for, on_random_weights
from spsam.engine.bench.bench import held
from spsam.engine.device import give_back
from spsam.engine.gpu_memory.live_bytes import LiveBytes
from spsam.engine.gpu_memory.memory import gpu_memory
from spsam.engine.training.batches import random_batch
from spsam.engine.training.group import ProcessGroup
from spsam.engine.training.step import Stepper
from spsam.engine.training.train import execute_as
from spsam.registry.arms import load_arm

GPUS = (12, 24, 48, 80)
# Protocol, classes with background, channels, patch.
PROTOCOLS = (
    ("acdc", 4, 1, (4, 256, 256)),
    ("synapse", 14, 1, (26, 256, 256)),
    ("amos22", 16, 1, (9, 512, 512)),
)
# Arm, classes, patch, values.
GRID: list[tuple[str, int, tuple[int, int, int], dict[str, Any]]] = [
    ("S9", 4, (4, 64, 64), {}),
    ("S9", 4, (4, 128, 128), {"train.checkpoint_activations": True}),
    ("S9", 16, (9, 128, 128), {"train.batch_size": 1}),
    ("S5", 4, (4, 128, 128), {"train.batch_size": 4, "train.accumulate": 2}),
    ("unet3d", 4, (4, 128, 128), {}),
    (
        "S9",
        4,
        (1, 256, 256),
        {
            "backbone.name": "sam_vit_b",
            "backbone.encoder_size": 1024,
            "train.batch_size": 1,
        },
    ),
]


def run_of(arm: ArmConfig, classes: int, channels: int = 1) -> RunConfig:
    """A run on data of that many classes, background included."""
    data = DataIdentity(
        name="noise",
        fingerprint="",
        split_name="none",
        split_hash="",
        num_classes=classes,
        class_names=tuple(f"class {number}" for number in range(classes)),
        in_channels=channels,
    )
    return RunConfig(arm=on_random_weights(arm), preset="paper", data=data)


@contextmanager
def as_on_gpu() -> Iterator[None]:
    """A CPU attends by fused kernels, as a GPU does."""
    attention = "spsam.model.sam.attention"
    # A mock would keep the tensors that it was called with.
    blocks = mock.patch(f"{attention}._in_blocks", _never)
    with blocks, mock.patch(f"{attention}.LARGE", 0):
        yield


def _never(key: torch.Tensor, keys: int) -> bool:
    return False


def real(config: RunConfig, patch: tuple[int, int, int]) -> dict[str, int]:
    """Bytes of tensors and resident bytes of the second of two steps on this CPU."""
    torch.set_num_threads(1)
    give_back()
    live = LiveBytes()
    with as_on_gpu():
        with live:
            network = network_for(config, patch, None).train()
            execute_as(config.arm.train, network)
            stepper = Stepper(network, config.arm.train, ProcessGroup())
            train, data = config.arm.train, config.data
            batch = random_batch(train.batch_size, data.in_channels, patch, data.num_classes)
        # The state dict of a module that was read from a file came without an operation.
        live.count([*network.parameters(), *network.buffers(), *batch.values()])
        step = partial(stepper, batch, 1e-6, decode=True)
        step()
        stepper.optimizer.zero_grad(set_to_none=True)
        live.count(_tensors(stepper.optimizer.state_dict()))
        before = live.mark()
        resident = before + held(step, torch.device("cpu"))
        stepper.optimizer.zero_grad(set_to_none=True)
        live.mark()
        with live:
            step()
    return {"tensors": live.most, "resident": resident}


def _tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    inner = value.values() if isinstance(value, dict) else ()
    return [tensor for item in inner for tensor in _tensors(item)]


def alone(work: Callable[[], Any]) -> Any:
    """What a function returns in a process of its own."""
    context = multiprocessing.get_context("fork")
    results: Any = context.SimpleQueue()
    process = context.Process(target=lambda: results.put(work()))
    process.start()
    process.join()
    assert process.exitcode == 0, f"the process ended with {process.exitcode}"
    return results.get()


def check(only: list[str] | None) -> list[dict[str, Any]]:
    """Plan and truth of each setting."""
    rows = []
    for arm, classes, patch, values in GRID:
        backbone = values.get("backbone.name", arm)
        if only and backbone not in only:
            continue
        config = run_of(
            load_arm(arm, {"backbone.weights": "random", **values}, preset="fast"), classes
        )
        plan = gpu_memory(config, patch)
        own = alone(partial(real, config, patch))
        row = {"arm": arm, "classes": classes, "patch": patch, "set": values}
        row |= {"planned": plan.tensors, **own, "ratio": round(plan.tensors / own["tensors"], 3)}
        rows.append(row | {"of_resident": round(plan.tensors / own["resident"], 3)})
        print(json.dumps(rows[-1]), flush=True)
    return rows


def table() -> Iterator[str]:
    """Markdown lines: what the paper's arm takes under each protocol, and which GPUs it fits."""
    yield "| protocol | blocks | GB | " + " | ".join(f"{gpu} GB" for gpu in GPUS) + " |"
    yield "| --- | --- | --- | " + " | ".join("---" for _ in GPUS) + " |"
    for protocol, classes, channels, patch in PROTOCOLS:
        for twice in (False, True):
            needs = {}
            for pieces in (1, 2):
                values = {"train.checkpoint_activations": twice, "train.accumulate": pieces}
                arm = load_arm("S9", values, preset="paper", protocol=protocol).on("cuda")
                needs[pieces] = gpu_memory(run_of(arm, classes, channels), patch).peak / 1e9
            fits = [_fits(needs, gpu) for gpu in GPUS]
            yield (
                f"| {protocol} | {'computed twice' if twice else 'kept'} | "
                f"{needs[1]:.1f}, in pieces {needs[2]:.1f} | {' | '.join(fits)} |"
            )


def _fits(needs: dict[int, float], gpu: int) -> str:
    return next((("yes", "in pieces")[n > 1] for n, need in needs.items() if need <= gpu), "no")


def main() -> None:
    """Prints the table, or what `--check` found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="Real steps beside the plan.")
    parser.add_argument("--only", action="append", help="Arms or backbones of the check.")
    options = parser.parse_args()
    if options.check:
        check(options.only)
    else:
        for line in table():
            print(line, flush=True)


if __name__ == "__main__":
    main()
