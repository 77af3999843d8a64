"""Masks by matrix products are those of the package's transposed convolutions."""

from __future__ import annotations

import pytest
import torch

from spsam.model.kernels.mask_upscaling import masks_of_tokens
from spsam.model.sam.class_decoder import ClassMaskDecoder
from spsam.model.sam.mask_decoder import PromptedMaskDecoder

from ..sam.reference import MINI

SIZE = (64, 48)


@pytest.mark.parametrize("masks", [1, 4])
@pytest.mark.parametrize("full", [False, True])
def test_masks_and_gradients_are_those_of_the_layers(masks: int, full: bool) -> None:
    torch.manual_seed(0)
    decoder = PromptedMaskDecoder(MINI, SIZE)
    (height, width) = decoder.grid
    # At SAM's own size these are the layers of the package.
    upscaling = ClassMaskDecoder(decoder, masks, full_resolution=full).upscaling.double()
    channels = upscaling[-2].out_channels
    with torch.no_grad():
        for parameter in upscaling.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    keys = torch.randn(3, height * width, MINI.out_dim, dtype=torch.double, requires_grad=True)
    weights = torch.randn(3, masks, channels, dtype=torch.double, requires_grad=True)

    image = keys.transpose(1, 2).reshape(3, -1, height, width)
    expected = weights @ upscaling(image).flatten(2)
    came = masks_of_tokens(upscaling, keys, weights, (height, width))
    torch.testing.assert_close(came, expected)
    direction = torch.randn_like(expected)
    for one, two in zip(
        torch.autograd.grad(came, (keys, weights), direction),
        torch.autograd.grad(expected, (keys, weights), direction),
        strict=True,
    ):
        torch.testing.assert_close(one, two)
