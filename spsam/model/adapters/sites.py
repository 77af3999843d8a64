"""Names of the frozen projections of SAM that an adapter can change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from spsam.errors import InputError, nearest

Target = Literal["q", "k", "v", "proj", "fc1", "fc2"]
"""A projection of a transformer block: in its attention (q, k, v, output) or in its MLP."""

TARGETS: tuple[Target, ...] = ("q", "k", "v", "proj", "fc1", "fc2")

SELF_ATTENTION, TOKEN_TO_IMAGE, IMAGE_TO_TOKEN, MLP, FINAL_ATTENTION = (
    "self_attention",
    "token_to_image",
    "image_to_token",
    "mlp",
    "final_attention",
)
"""Frozen modules of the mask decoder: three attentions and an MLP per block, and a final one."""


@dataclass(frozen=True)
class Projection:
    """A frozen linear layer, or the q, k or v third of a layer that combines them.

    Attributes:
        part: `encoder` or `decoder`.
        module: Frozen module that contains the layer, such as `encoder_3` or
            `decoder_0_self_attention`.
        name: One of `TARGETS`.
        inputs: Width of its input.
        outputs: Width of its output.
    """

    part: Literal["encoder", "decoder"]
    module: str
    name: Target
    inputs: int
    outputs: int

    @property
    def key(self) -> str:
        """Unique identifier of the projection, valid as the name of a torch module."""
        return f"{self.module}_{self.name}"


def encoder_module(block: int) -> str:
    """Returns the name of an encoder block, which contains one attention and one MLP.

    Args:
        block: Index of the block.
    """
    return f"encoder_{block}"


def decoder_module(block: int, kind: str) -> str:
    """Returns the name of an attention or the MLP in a two-way block of the mask decoder.

    Args:
        block: Index of the block.
        kind: `SELF_ATTENTION`, `TOKEN_TO_IMAGE`, `IMAGE_TO_TOKEN` or `MLP`.
    """
    return f"decoder_{block}_{kind}"


def projections(
    *,
    encoder_dim: int,
    encoder_blocks: int,
    decoder_dim: int,
    decoder_mlp_dim: int,
    decoder_blocks: int = 2,
) -> tuple[Projection, ...]:
    """Lists all projections of a SAM, in the order of the forward pass.

    Args:
        encoder_dim: E, width of the image encoder's tokens; the hidden width of its MLPs is 4E.
        encoder_blocks: Number of blocks in the image encoder.
        decoder_dim: C, width of the mask decoder's tokens; C / 2 in its cross-attentions.
        decoder_mlp_dim: Hidden width of the mask decoder's MLPs.
        decoder_blocks: Number of two-way blocks in the mask decoder.
    """
    found: list[Projection] = []
    for block in range(encoder_blocks):
        module = encoder_module(block)
        found += _attention("encoder", module, encoder_dim, encoder_dim)
        found += _mlp("encoder", module, encoder_dim, 4 * encoder_dim)
    for block in range(decoder_blocks):
        for kind in (SELF_ATTENTION, TOKEN_TO_IMAGE, MLP, IMAGE_TO_TOKEN):
            module = decoder_module(block, kind)
            if kind == MLP:
                found += _mlp("decoder", module, decoder_dim, decoder_mlp_dim)
                continue
            inner = decoder_dim if kind == SELF_ATTENTION else decoder_dim // 2
            found += _attention("decoder", module, decoder_dim, inner)
    found += _attention("decoder", FINAL_ATTENTION, decoder_dim, decoder_dim // 2)
    return tuple(found)


def chosen(
    offered: Sequence[Projection], encoder: Sequence[str], decoder: Sequence[str]
) -> tuple[Projection, ...]:
    """Selects the projections of an adapter.

    Args:
        offered: All projections of SAM.
        encoder: Names from `TARGETS`, applied in every block of the image encoder.
        decoder: Names from `TARGETS`, applied in every attention and MLP of the mask decoder.

    Raises:
        InputError: If a name is unknown or occurs twice, or both lists are empty.
    """
    for part, names in (("targets", encoder), ("decoder_targets", decoder)):
        unknown = [name for name in names if name not in TARGETS]
        if unknown:
            raise InputError(
                f"{part}: there is no projection '{unknown[0]}'{nearest(unknown[0], TARGETS)}"
            )
        if len(set(names)) < len(names):
            raise InputError(f"{part}: a projection occurs twice: {', '.join(names)}")
    if not encoder and not decoder:
        raise InputError(
            "targets and decoder_targets are empty: expected at least one of "
            f"{', '.join(TARGETS)}; for an arm without adapters, set blocks.adapter to none"
        )
    wanted = {"encoder": encoder, "decoder": decoder}
    return tuple(site for site in offered if site.name in wanted[site.part])


def _attention(
    part: Literal["encoder", "decoder"], module: str, outer: int, inner: int
) -> list[Projection]:
    into = [Projection(part, module, name, outer, inner) for name in TARGETS[:3]]
    return [*into, Projection(part, module, "proj", inner, outer)]


def _mlp(
    part: Literal["encoder", "decoder"], module: str, outer: int, inner: int
) -> list[Projection]:
    return [
        Projection(part, module, "fc1", outer, inner),
        Projection(part, module, "fc2", inner, outer),
    ]
