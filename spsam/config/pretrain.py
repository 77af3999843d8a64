"""The recipe of `spsam pretrain`: how a small SAM learns to answer prompts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from spsam.config.fields import Count, Fraction, NotNegative, Positive, Section, Whole, chosen
from spsam.config.overrides import flag
from spsam.config.problems import Place, check, raise_all
from spsam.config.yaml_file import KeyPath, read_yaml


class PretrainRecipe(Section):
    """Everything that pretrained weights depend on.

    Sources: [C] throughout; focal and Dice weights, jitter and rounds of correction follow SAM
    (Kirillov et al. 2023, appendix A), with sizes for a small model.
    """

    title: str = chosen(..., "What is made.")
    backbone: Literal["sam_tiny"] = chosen("sam_tiny", "Which SAM, at its native input size.")
    seed: Whole = chosen(0, "Of initial weights, pictures and prompts.")
    start: str | None = chosen(
        None, "Sha-256 of the weights that training starts from; null: random weights."
    )
    steps: Count = chosen(..., "Optimiser steps.")
    images: Count = chosen(4, "Pictures of a step.")
    masks: Count = chosen(6, "Masks of a picture that are asked for.")
    excerpts: Whole = chosen(
        0, "Steps, the first ones, on pictures of half the side: squares of the whole's tokens."
    )
    excerpt_images: Count = chosen(8, "Pictures of such a step.")
    rounds: Count = chosen(2, "Prompts and corrections a mask; each correction adds a point.")
    lr: Positive = chosen(1e-3, "Largest learning rate of AdamW.")
    warmup: Count = chosen(50, "Steps in which the learning rate rises.")
    decay_from: Fraction = chosen(0.4, "Share of the steps after which it falls, to zero.")
    weight_decay: NotNegative = chosen(0.05, "Weight decay.")
    clip_norm: Positive = chosen(1.0, "Largest norm of the gradient.")
    focal_weight: NotNegative = chosen(4.0, "Of the focal loss, beside Dice at 1 and IoU at 1.")
    picture_weight: NotNegative = chosen(
        1.0, "Of every border and the picture without noise, from the embedding alone."
    )
    box_jitter: NotNegative = chosen(0.1, "Standard deviation of a box's sides, in sides.")
    mask_prompts: Fraction = chosen(0.4, "Share of first rounds with a rough mask as prompt.")
    precision: Literal["fp32", "bf16"] = chosen("fp32", "fp32, or bf16 autocast.")
    checkpoint_every: Count = chosen(100, "Steps between two checkpoints.")


def load_recipe(path: Path, overrides: Mapping[str, Any] | None = None) -> PretrainRecipe:
    """Reads a recipe.

    Args:
        path: A YAML file.
        overrides: Values on top, by key.

    Raises:
        InputError: With every mistake, by line.
    """
    file, values = read_yaml(path), dict(overrides or {})

    def place(keys: KeyPath) -> Place:
        key = str(keys[0]) if keys else None
        if key in values:
            return Place(None, None, flag((key,), values[key]))
        return Place(path, file.line(keys))

    recipe, problems = check(PretrainRecipe, {**file.data, **values}, place)
    raise_all(problems)
    assert isinstance(recipe, PretrainRecipe)
    return recipe
