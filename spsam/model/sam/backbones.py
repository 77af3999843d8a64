"""Supported sizes of SAM."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from spsam.errors import InputError, nearest

DECODER_OF_SAM = 4_064_560
"""Number of parameters of the prompt encoder and mask decoder, equal for all official sizes."""

OFFICIAL = "the GitHub repository facebookresearch/segment-anything"
"""Publisher of SAM's weights; the README links the files."""


@dataclass(frozen=True)
class Backbone:
    """One size of SAM.

    Attributes:
        name: Name for an arm's `backbone.name`.
        embed_dim: E, width of the image encoder.
        depth: Number of transformer blocks of the image encoder.
        heads: Attention heads of the image encoder.
        global_blocks: Indices of the blocks that attend to the whole image; their outputs are the
            taps.
        window: Side length of the other blocks' attention windows, tokens.
        patch: p, side length of a ViT patch, pixels.
        native_size: Side length of the input that the weights were trained on, pixels.
        out_dim: C, width of the neck, the prompt encoder and the mask decoder.
        decoder_heads: Attention heads of the mask decoder.
        decoder_mlp_dim: Hidden width of the mask decoder's MLPs.
        decoder_parameters: Number of parameters of the prompt encoder and the mask decoder
            together.
        official_file: Name of the published checkpoint, if there is one.
        official_bytes: Size of that file, bytes.
        sha256: SHA-256 of that file, hexadecimal; micro-sam verifies its downloads by the same
            hashes (`micro_sam/util.py`). The six digits in the file's name are from its MD5.
        shipped_file: Name of the weights that are shipped with spsam, if there are any.
        shipped_sha256: SHA-256 of that file.
    """

    name: str
    embed_dim: int
    depth: int
    heads: int
    global_blocks: tuple[int, ...]
    window: int = 14
    patch: int = 16
    native_size: int = 1024
    out_dim: int = 256
    decoder_heads: int = 8
    decoder_mlp_dim: int = 2048
    decoder_parameters: int = DECODER_OF_SAM
    official_file: str | None = None
    official_bytes: int | None = None
    sha256: str | None = None
    shipped_file: str | None = None
    shipped_sha256: str | None = None

    @property
    def shipped_weights(self) -> Path:
        """Path of the weights that are shipped with spsam.

        Raises:
            InputError: If there are none for this backbone.
        """
        if self.shipped_file is None:
            raise InputError(
                f"spsam does not include weights of {self.name}: set --checkpoint FILE or --set "
                f"backbone.weights=random; {self.published}"
            )
        return Path(__file__).with_name("weights") / self.shipped_file

    @property
    def published(self) -> str:
        """Sentence that states where the weights are published."""
        if self.official_file is None or self.official_bytes is None:
            return f"weights of {self.name} are shipped with spsam (backbone.weights: shipped)"
        size = f"{self.official_bytes / 1e6:,.0f} MB"
        return f"{self.official_file} ({size}) is published by {OFFICIAL}"

    @property
    def native_grid(self) -> tuple[int, int]:
        """Token grid of the native input size, (rows, columns)."""
        side = self.native_size // self.patch
        return (side, side)

    def parameters(self, encoder_size: tuple[int, int]) -> int:
        """Computes the number of SAM's parameters at an input size without building it.

        Only the position embeddings depend on the size.

        Args:
            encoder_size: (h, w) of the encoder's input, pixels.
        """
        dim, grid = self.embed_dim, token_grid(self, encoder_size)
        patches = (3 * self.patch**2 + 1) * dim + grid[0] * grid[1] * dim
        # Attention 4·E², MLP 8·E², with their biases; two norms.
        block = 12 * dim**2 + 9 * dim + 4 * dim
        sides = sum(
            sum(grid) if index in self.global_blocks else 2 * self.window
            for index in range(self.depth)
        )
        relative = (2 * sides - 2 * self.depth) * (dim // self.heads)
        neck = dim * self.out_dim + 9 * self.out_dim**2 + 4 * self.out_dim
        return patches + self.depth * block + relative + neck + self.decoder_parameters


BACKBONES: dict[str, Backbone] = {
    spec.name: spec
    for spec in (
        Backbone(
            name="sam_tiny",
            embed_dim=192,
            depth=8,
            heads=6,
            global_blocks=(1, 3, 5, 7),
            window=8,
            patch=8,
            native_size=128,
            out_dim=128,
            decoder_mlp_dim=512,
            decoder_parameters=759_616,
            shipped_file="sam_tiny.safetensors",
            shipped_sha256="cdf140a6470e0f9ead2c594d5ea010812f2c2a3586ad5ac303b4aaa4f8211a54",
        ),
        Backbone(
            name="sam_vit_b",
            embed_dim=768,
            depth=12,
            heads=12,
            global_blocks=(2, 5, 8, 11),
            official_file="sam_vit_b_01ec64.pth",
            official_bytes=375_042_383,
            sha256="ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
        ),
        Backbone(
            name="sam_vit_l",
            embed_dim=1024,
            depth=24,
            heads=16,
            global_blocks=(5, 11, 17, 23),
            official_file="sam_vit_l_0b3195.pth",
            official_bytes=1_249_524_607,
            sha256="3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
        ),
        Backbone(
            name="sam_vit_h",
            embed_dim=1280,
            depth=32,
            heads=16,
            global_blocks=(7, 15, 23, 31),
            official_file="sam_vit_h_4b8939.pth",
            official_bytes=2_564_550_879,
            sha256="a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
        ),
    )
}


def backbone_spec(name: str) -> Backbone:
    """Returns the backbone with this name.

    Args:
        name: A key of `BACKBONES`.

    Raises:
        InputError: If there is none.
    """
    if name not in BACKBONES:
        raise InputError(f"unknown backbone '{name}'{nearest(name, BACKBONES)}")
    return BACKBONES[name]


def token_grid(spec: Backbone, encoder_size: tuple[int, int]) -> tuple[int, int]:
    """Computes the token grid of an encoder input.

    Args:
        spec: The backbone.
        encoder_size: (h, w) of the encoder's input, pixels.

    Returns:
        (gh, gw), rows and columns of tokens.

    Raises:
        InputError: If the patch does not divide the size.
    """
    height, width = encoder_size
    if min(encoder_size) < spec.patch or height % spec.patch or width % spec.patch:
        raise InputError(
            f"encoder size {height} x {width} does not consist of whole {spec.patch}-pixel patches "
            f"of {spec.name}; choose multiples of {spec.patch}"
        )
    return (height // spec.patch, width // spec.patch)


def encoder_input(
    wanted: int | tuple[int, int] | str | None, image_size: tuple[int, int], spec: Backbone
) -> tuple[int, int]:
    """Computes the size of the encoder's input from an arm's `backbone.encoder_size`.

    Args:
        wanted: Side of a square; (h, w); a multiple of the patch's size such as `2x`; or None for
            the patch's size. Multiples and None are rounded up to whole ViT patches.
        image_size: (H, W) of the network's input, pixels.
        spec: The backbone.

    Returns:
        (h, w), pixels.
    """
    if isinstance(wanted, int):
        return (wanted, wanted)
    if isinstance(wanted, tuple):
        return wanted
    factor = 1 if wanted is None else int(wanted.removesuffix("x"))
    height, width = (-(-factor * side // spec.patch) * spec.patch for side in image_size)
    return (height, width)
