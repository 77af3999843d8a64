"""How well a small SAM answers prompts on slices of a data set that it never saw.

    python benchmarks/promptable.py path/to/ACDC
    python benchmarks/promptable.py path/to/ACDC --weights random
    python benchmarks/promptable.py path/to/ACDC --weights sam_tiny.safetensors --json

Every slice of every test case, made a square and resized to the SAM's native size; every class on
it with enough pixels is asked for with prompts of its own ground truth, as in `spsam pretrain`.
"""

from __future__ import annotations

import argparse
import json
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from spsam.data.cases import Case
from spsam.data.dataset import open_dataset
from spsam.data.sampling.questions import Question, ask
from spsam.data.sampling.scenes import SMALLEST
from spsam.data.split import split_cases
from spsam.engine.pretrain import measure
from spsam.model.sam.backbones import backbone_spec
from spsam.model.sam.build import build_sam
from spsam.model.sam.promptable import PromptableSAM

SPEC = backbone_spec("sam_tiny")


def questions(cases: list[Case]) -> Iterator[Question]:
    """One slice at a time, with a question for each class that is on it."""
    size, rough = SPEC.native_size, 4 * SPEC.native_grid[0]
    for case in cases:
        volume = case.load()
        assert volume.label is not None
        for number, (image, labels) in enumerate(zip(volume.image[0], volume.label, strict=True)):
            picture = resized(torch.from_numpy(image.astype(np.float32)), size)
            classes = resized(torch.from_numpy(labels.astype(np.float32)), size, "nearest-exact")
            masks = [(classes == k).numpy() for k in range(1, int(labels.max()) + 1)]
            large = [mask for mask in masks if mask.sum() >= SMALLEST]
            if large:
                picture = (picture - picture.mean()) / (picture.std() + 1e-6)
                rng = np.random.default_rng([zlib.crc32(case.id.encode()), number])
                asked = ask(rng, picture.numpy(), np.stack(large), rough, box_jitter=0.0)
                yield {name: value[None] for name, value in asked.items()}  # type: ignore[misc]


def resized(image: Tensor, size: int, mode: str = "bilinear") -> Tensor:
    """`(H, W)` to `(size, size)`: zeros around the shorter side, then resized."""
    height, width = image.shape
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    square = functional.pad(image, (left, side - width - left, top, side - height - top))
    smooth = {} if mode == "nearest-exact" else {"antialias": True, "align_corners": False}
    return functional.interpolate(square[None, None], (size, size), mode=mode, **smooth)[0, 0]


def weights(named: str) -> PromptableSAM:
    """`shipped`, `random` or a file."""
    path = {"shipped": SPEC.shipped_weights, "random": None}.get(named, Path(named))
    size = (SPEC.native_size, SPEC.native_size)
    encoder, decoder, _ = build_sam(SPEC.name, size, checkpoint=path)
    return PromptableSAM(SPEC, (encoder, decoder))


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="a data set, as of spsam ablate --data")
    parser.add_argument("--weights", default="shipped", help="shipped, random or a file")
    parser.add_argument("--split", help="name or file of a split")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    dataset = open_dataset(options.data)
    test = split_cases(dataset, options.split).test
    found = list(questions([dataset.case(case) for case in test]))
    scores = measure(weights(options.weights), found)
    masks = sum(question["masks"].shape[1] for question in found)
    if options.json:
        print(json.dumps({"weights": options.weights, "masks": masks, "iou": scores}, indent=2))
        return
    print(f"{options.weights} weights, {masks} masks of {len(test)} cases; mean IoU:")
    for kind, value in scores.items():
        print(f"  {kind:24} {value:.3f}")


if __name__ == "__main__":
    main()
