"""Prompt-free segmentation of a whole volume by a sliding window."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from torch import Tensor

from spsam.config.schema import InferenceConfig, TrainConfig
from spsam.model.segmenter import Segmenter


def autocast(device: torch.device, train: TrainConfig) -> torch.autocast:
    """The precision that a run computes in."""
    return torch.autocast(device.type, torch.bfloat16, enabled=train.precision == "bf16")


@torch.inference_mode()
def predict_logits(
    network: Segmenter,
    image: Tensor,
    inference: InferenceConfig,
    train: TrainConfig,
) -> Tensor:
    """Final logits of a prepared volume, tiles weighted by a Gaussian.

    Args:
        network: In any mode; left in evaluation mode.
        image: `(M, D, H, W)` prepared intensities, any size; on any device.
        inference: Step, Gaussian, mirroring.
        train: For the precision the network was trained in.

    Returns:
        `(K, D, H, W)` float32 on the network's device.
    """
    # MONAI takes seconds to import, and a plan or a table needs none of it.
    from monai.inferers.utils import sliding_window_inference

    network.eval()
    device = next(network.parameters()).device

    def tile_logits(tiles: Tensor) -> Tensor:
        with autocast(device, train):
            logits: Tensor | None = network(tiles).logits
        assert logits is not None
        return logits.float()

    logits: object = sliding_window_inference(
        image[None].to(device, torch.float32),
        roi_size=(network.depth, *network.image_size),
        sw_batch_size=inference.batch_size,
        predictor=_mirrored(tile_logits) if inference.mirror else tile_logits,
        overlap=1 - inference.step,
        mode="gaussian",
        sigma_scale=inference.sigma,
    )
    assert isinstance(logits, Tensor)
    return logits[0]


def _mirrored(predictor: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """The mean over all mirrorings of a tile `(B, M, D, H, W)`."""
    flips = [axes for n in range(4) for axes in itertools.combinations((2, 3, 4), n)]

    def mean(tiles: Tensor) -> Tensor:
        total = predictor(tiles)
        for axes in flips[1:]:
            total = total + predictor(tiles.flip(axes)).flip(axes)
        return total / len(flips)

    return mean
