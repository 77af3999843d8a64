"""Step times on a GPU, with the hardware and the commit they are of: `nox -s gpu` runs it.

    python benchmarks/gpu.py --save gpu.json
    python benchmarks/gpu.py --device cpu --quick      # whether it runs, on any machine

Steps are those of benchmarks/methods.py, beside SAMed's and nnU-Net's in turns in one process, one
process a size. Prompts are points, boxes and presence of 9 slices of 512 × 512 pixels and 16
classes. Aims are of an H200 in bf16.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from spsam.engine.bench.parts import Parts
from spsam.engine.device import pick_device
from spsam.files import write_text
from spsam.model.prompts.edt import EdtPrompt
from spsam.results.environment import environment

# Size in pixels, patches, slices, classes, and the aim in milliseconds a step.
STEPS = ((256, 2, 4, 4, 8.0), (512, 1, 9, 16, 30.0), (1024, 2, 4, 4, 75.0))
QUICK = ((64, 1, 2, 3, 8.0),)
PROMPTS, QUICK_PROMPTS = (9, 16, 512), (2, 3, 64)
PROMPTS_AIM = 2.0


def steps(options: argparse.Namespace, size: tuple[int, int, int, int, float]) -> dict[str, Any]:
    """Milliseconds of a step of each method at one size; None for one that failed."""
    side, batch, depth, classes, aim = size
    command = [sys.executable, str(Path(__file__).with_name("methods.py")), "--json"]
    values = {
        "arm": "S9",
        "backbone": "sam_tiny" if options.quick else "sam_vit_b",
        "size": side,
        "batch": batch,
        "depth": depth,
        "classes": classes,
        "precision": options.precision,
        "repeats": options.repeats,
        "device": options.device,
    }
    command += [word for key, value in values.items() for word in (f"--{key}", str(value))]
    command += [word for value in options.set for word in ("--set", value)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    told = {"size": side, "batch": batch, "depth": depth, "classes": classes, "aim": aim}
    if done.returncode:
        return {**told, "networks": None, "met": False, "error": done.stderr[-2000:]}
    networks = json.loads(done.stdout)["networks"]
    own = 1e3 * networks["ours"]["step"]
    return {**told, "networks": networks, "milliseconds": own, "met": own <= aim}


def prompts(options: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """Milliseconds of the prompts of blobs."""
    slices, classes, side = QUICK_PROMPTS if options.quick else PROMPTS
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randint(0, classes, (slices, 1, 16, 16), generator=generator).float()
    labels = torch.nn.functional.interpolate(coarse, size=(side, side))[:, 0].long().to(device)
    component, times = EdtPrompt(classes), []
    for turn in range(options.repeats + 1):
        parts = Parts(device)
        with parts.part("prompts"):
            component.extract(labels)
        if turn:
            times.append(1e3 * parts.seconds["prompts"])
    found = statistics.median(times)
    told = {"slices": slices, "classes": classes, "size": side, "aim": PROMPTS_AIM}
    return {**told, "milliseconds": found, "met": found <= PROMPTS_AIM}


def main() -> None:
    """Prints JSON, or writes it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--quick", action="store_true", help="A small network: whether it runs.")
    parser.add_argument("--save", type=Path, help="A file for the JSON.")
    options = parser.parse_args()
    device = torch.device(pick_device(options.device))
    result = {
        "environment": environment(str(device)),
        "precision": options.precision,
        "set": options.set,
        "prompts": prompts(options, device),
        "steps": [steps(options, size) for size in (QUICK if options.quick else STEPS)],
    }
    text = json.dumps(result, indent=2)
    print(text)
    if options.save:
        write_text(options.save, text + "\n")
    # A miss of an aim is a figure; a step that failed is a failure.
    sys.exit(1 if any(each["networks"] is None for each in result["steps"]) else 0)


if __name__ == "__main__":
    main()
