"""Construction of SAM's two halves, with the weights of a checkpoint or random weights."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from spsam.model.sam.backbones import Backbone, backbone_spec
from spsam.model.sam.checkpoint import LoadReport, load_official
from spsam.model.sam.image_encoder import ImageEncoder
from spsam.model.sam.mask_decoder import PromptedMaskDecoder
from spsam.model.sam.positions import randomize_positions

RANDOM_SAM_SEED = 20250202
"""Seed of random weights; they represent one frozen SAM and do not depend on a run's seed."""


def build_sam(
    name: str, encoder_size: tuple[int, int], *, checkpoint: Path | None = None
) -> tuple[ImageEncoder, PromptedMaskDecoder, LoadReport | None]:
    """Builds a frozen SAM; torch's random state is unchanged afterwards.

    Under `torch.device("meta")`, the parts have shapes but no weights, and the checkpoint is not
    read. This is how parameters are counted.

    Args:
        name: A key of `BACKBONES`.
        encoder_size: (h, w) of the encoder's input, pixels; multiples of the patch size.
        checkpoint: A file in the format of SAM's published ones; None for random weights, which are
            the same in every process on every machine with the same version of torch.

    Returns:
        Image encoder, mask decoder, and the report of the loaded checkpoint (None without one).

    Raises:
        InputError: If there is no such backbone, the patch does not divide the size, or the
            checkpoint does not fit.
    """
    spec = backbone_spec(name)
    device = torch.get_default_device()
    if device.type == "meta":
        return *_parts(spec, encoder_size), None
    # Weights are drawn on the CPU, so that they do not depend on the default device.
    if checkpoint is None:
        with torch.device("cpu"):
            encoder, decoder = _random(spec, encoder_size)
        return encoder.to(device), decoder.to(device), None
    # Drawing random weights only to overwrite them takes seconds for the larger models.
    with torch.device("meta"):
        encoder, decoder = _parts(spec, encoder_size)
    encoder, decoder = encoder.to_empty(device="cpu"), decoder.to_empty(device="cpu")
    report = load_official(checkpoint, encoder, decoder, spec)
    return encoder.to(device), decoder.to(device), report


def _parts(
    spec: Backbone, encoder_size: tuple[int, int]
) -> tuple[ImageEncoder, PromptedMaskDecoder]:
    return ImageEncoder(spec, encoder_size), PromptedMaskDecoder(spec, encoder_size)


def _random(
    spec: Backbone, encoder_size: tuple[int, int]
) -> tuple[ImageEncoder, PromptedMaskDecoder]:
    with torch.random.fork_rng(devices=[]):
        # Only the CPU's generator: `torch.manual_seed` would also reseed every GPU.
        torch.default_generator.manual_seed(RANDOM_SAM_SEED)
        encoder, decoder = _parts(spec, encoder_size)
        _keep_variance(decoder)
        # Last, because the number of positions depends on the input size.
        randomize_positions(encoder, spec)
    return encoder, decoder


def _keep_variance(decoder: PromptedMaskDecoder) -> None:
    """Draws random weights with which a layer's output varies as much as its input [C].

    With torch's own initialisation, every layer reduces the variance, and the mask decoder outputs
    logits of about 0.02. No adapter before frozen layers with norms in between can turn these into
    a confident mask. The logits of a trained SAM are of the order of ten.
    """
    for layer in decoder.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            fan_in = layer.weight[0].numel()
            if isinstance(layer, nn.ConvTranspose2d):
                # The stride equals the kernel size: every output pixel depends on one input pixel.
                fan_in = layer.in_channels
            nn.init.normal_(layer.weight, std=(2 / fan_in) ** 0.5)
