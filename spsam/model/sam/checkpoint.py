"""Loading of SAM's checkpoints: safe, matched by name, rejected if they do not fit."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from spsam.errors import InputError
from spsam.model.sam.backbones import BACKBONES, Backbone
from spsam.model.sam.image_encoder import ImageEncoder
from spsam.model.sam.mask_decoder import PromptedMaskDecoder
from spsam.model.sam.origin import Origin, weights_origin
from spsam.model.sam.positions import resample_pos_embed, resample_rel_pos
from spsam.model.sam.state_file import file_sha256, read_state

_TIMM_MLP = re.compile(r"^(blocks\.\d+\.mlp)\.fc([12])\.(weight|bias)$")
_REL_POS = re.compile(r"^blocks\.(\d+)\.attn\.rel_pos_[hw]$")


@dataclass(frozen=True)
class LoadReport:
    """Comparison of the weights in a file with those of the model, by the names in the file.

    Attributes:
        path: The file.
        sha256: SHA-256 of the file, hexadecimal.
        origin: Whether it is the published file of this backbone.
        missing: Weights that are in the model but not in the file.
        unexpected: Weights that are in the file but not in the model.
        mismatched: Weights with another shape: name, expected shape, shape in the file.
        resampled: Position embeddings that were resampled to another input size.
    """

    path: Path
    sha256: str
    origin: Origin
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    mismatched: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...] = ()
    resampled: tuple[str, ...] = ()

    @property
    def fits(self) -> bool:
        """Whether file and model contain the same weights with the same shapes."""
        return not (self.missing or self.unexpected or self.mismatched)

    def __str__(self) -> str:
        counts = (
            f"{len(self.missing)} missing, {len(self.unexpected)} unexpected, "
            f"{len(self.mismatched)} mismatched, {len(self.resampled)} resampled"
        )
        return f"{self.path.name}, {self.origin}: {counts}"


def load_official(
    path: Path, encoder: ImageEncoder, decoder: PromptedMaskDecoder, spec: Backbone
) -> LoadReport:
    """Loads a checkpoint in the published format into both halves of SAM, completely or not at all.

    Position embeddings for another input size are resampled: absolute ones bicubically, relative
    ones of blocks with global attention linearly.

    Args:
        path: A file with a flat state dict whose names begin with `image_encoder.`,
            `prompt_encoder.` and `mask_decoder.`, such as `sam_vit_b_01ec64.pth`.
        encoder: Filled in place.
        decoder: Filled in place.
        spec: The backbone of both halves.

    Returns:
        The report; nothing is missing, unexpected or mismatched.

    Raises:
        InputError: If the file is unreadable, belongs to another model, does not fit exactly, or
            contains values that are not finite.
    """
    state = read_state(path)
    _check_model(path, state, spec)
    targets = official_state(encoder, decoder)
    report, fitted = _match(path, state, targets, encoder, spec)
    if not report.fits:
        raise InputError(
            f"{path}: expected exactly the weights of {spec.name}, {_misfit(report)}; "
            f"use {_wanted(spec)}"
        )
    with torch.no_grad():
        for name, target in targets.items():
            target.copy_(fitted[name])
    return report


def compare(
    path: Path, encoder: ImageEncoder, decoder: PromptedMaskDecoder, spec: Backbone
) -> LoadReport:
    """Compares a checkpoint with the model, without loading it or rejecting a mismatch.

    Args:
        path: The file.
        encoder: The image encoder.
        decoder: The mask decoder.
        spec: The backbone of both.

    Raises:
        InputError: If the file is unreadable or does not contain a SAM state dict.
    """
    return _match(path, read_state(path), official_state(encoder, decoder), encoder, spec)[0]


def _check_model(path: Path, state: Mapping[str, Tensor], spec: Backbone) -> None:
    """Rejects a checkpoint of another size of SAM and names the size if it is known."""
    wanted = (spec.embed_dim, spec.depth, spec.patch)
    found = _shape_of(state)
    if found is None or found == wanted:
        return
    known = [other.name for other in BACKBONES.values() if found == _sizes(other)]
    came = f"{known[0]} " if known else ""
    advice = f"choose backbone {known[0]} or " if known else ""
    raise InputError(
        f"{path}: expected a checkpoint of {spec.name} (width {wanted[0]}, {wanted[1]} blocks, "
        f"patch {wanted[2]}), got one of {came}(width {found[0]}, {found[1]} blocks, patch "
        f"{found[2]}); {advice}use {_wanted(spec)}"
    )


def _sizes(spec: Backbone) -> tuple[int, int, int]:
    return (spec.embed_dim, spec.depth, spec.patch)


def _shape_of(state: Mapping[str, Tensor]) -> tuple[int, int, int] | None:
    """Reads (E, blocks, p) from a state dict; None if it has no patch embedding."""
    patches = state.get("image_encoder.patch_embed.proj.weight")
    if patches is None or patches.ndim != 4:
        return None
    blocks = {
        int(found.group(1))
        for name in state
        if (found := re.match(r"image_encoder\.blocks\.(\d+)\.", name))
    }
    return (patches.shape[0], max(blocks, default=-1) + 1, patches.shape[-1])


def official_state(encoder: ImageEncoder, decoder: PromptedMaskDecoder) -> dict[str, Tensor]:
    """Returns every weight and buffer of the model by its name in SAM's own files."""
    return {**encoder_state(encoder), **decoder.state_dict()}


def encoder_state(encoder: ImageEncoder) -> dict[str, Tensor]:
    """Returns the image encoder's weights by SAM's own names, which begin with `image_encoder.`."""
    return {_official_name(name): value for name, value in encoder.state_dict().items()}


def _official_name(name: str) -> str:
    """Returns SAM's name of a weight; timm's `fc1` and `fc2` are `lin1` and `lin2` in SAM."""
    return "image_encoder." + _TIMM_MLP.sub(r"\1.lin\2.\3", name)


def _match(
    path: Path,
    state: Mapping[str, Tensor],
    targets: Mapping[str, Tensor],
    encoder: ImageEncoder,
    spec: Backbone,
) -> tuple[LoadReport, dict[str, Tensor]]:
    """Compares names and shapes, and resamples positions to the encoder's grid."""
    fitted: dict[str, Tensor] = {}
    mismatched: list[tuple[str, tuple[int, ...], tuple[int, ...]]] = []
    resampled: list[str] = []
    for name, target in targets.items():
        if name not in state:
            continue
        fitted[name] = _fit_position(name, state[name], target, encoder, spec)
        if fitted[name].shape != target.shape:
            mismatched.append((name, tuple(target.shape), tuple(state[name].shape)))
        elif state[name].shape != target.shape:
            resampled.append(name)
    sha256 = file_sha256(path)
    report = LoadReport(
        path=path,
        sha256=sha256,
        origin=weights_origin(spec, sha256, path.name),
        missing=tuple(name for name in targets if name not in state),
        unexpected=tuple(name for name in state if name not in targets),
        mismatched=tuple(mismatched),
        resampled=tuple(resampled),
    )
    return report, fitted


def _fit_position(
    name: str, value: Tensor, target: Tensor, encoder: ImageEncoder, spec: Backbone
) -> Tensor:
    """Resamples a position embedding; other weights, or another width, are returned unchanged."""
    if value.ndim != target.ndim or value.shape[-1] != target.shape[-1]:
        return value
    own = name.removeprefix("image_encoder.")
    if own == "pos_embed":
        return resample_pos_embed(value, encoder.grid)
    relative = _REL_POS.match(own)
    if relative and int(relative.group(1)) in spec.global_blocks:
        return resample_rel_pos(value, target.shape[0])
    return value


def _misfit(report: LoadReport) -> str:
    """Describes the mismatches with examples."""
    shapes = [f"{name} {came} for {expected}" for name, expected, came in report.mismatched]
    parts = [
        f"{len(names)} {kind} ({_first(names)})"
        for kind, names in (
            ("missing", report.missing),
            ("unexpected", report.unexpected),
            ("of another shape", shapes),
        )
        if names
    ]
    return "got " + ", ".join(parts)


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")


def _wanted(spec: Backbone) -> str:
    if spec.official_file is None:
        return f"a checkpoint of {spec.name}"
    return f"{spec.official_file} or a file of the same structure"
