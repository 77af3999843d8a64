"""The recipe of `spsam pretrain`, which trains a small promptable SAM."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from spsam.config.fields import Count, Fraction, NotNegative, Positive, Section, Whole, chosen
from spsam.config.overrides import flag
from spsam.config.problems import Place, check, raise_all
from spsam.config.yaml_file import KeyPath, read_yaml


class PretrainRecipe(Section):
    """Everything that determines pretrained weights.

    Source: [C] throughout. Focal and Dice weights, jitter and rounds of correction follow SAM
    (Kirillov et al. 2023, appendix A), with sizes for a small model.
    """

    title: str = chosen(..., "Title of the recipe.")
    backbone: Literal["sam_tiny"] = chosen("sam_tiny", "SAM model, at its native input size.")
    seed: Whole = chosen(0, "Seed of initial weights, images and prompts.")
    start: str | None = chosen(
        None, "SHA-256 of the weights that training starts from; null: random weights."
    )
    steps: Count = chosen(..., "Number of optimiser steps.")
    images: Count = chosen(4, "Images per step.")
    masks: Count = chosen(6, "Masks per image to predict.")
    excerpts: Whole = chosen(0, "Number of initial steps on images of half the side length.")
    excerpt_images: Count = chosen(8, "Images per initial step.")
    rounds: Count = chosen(2, "Rounds per mask: a prompt, then corrections by one point each.")
    lr: Positive = chosen(1e-3, "Maximum learning rate of AdamW.")
    warmup: Count = chosen(50, "Steps in which the learning rate increases.")
    decay_from: Fraction = chosen(
        0.4, "Fraction of the steps after which the learning rate decays to zero."
    )
    weight_decay: NotNegative = chosen(0.05, "Weight decay.")
    clip_norm: Positive = chosen(1.0, "Maximum norm of the gradient.")
    focal_weight: NotNegative = chosen(4.0, "Weight of the focal loss; Dice and IoU have weight 1.")
    picture_weight: NotNegative = chosen(
        1.0, "Weight of predicting all borders and the noise-free image from the embedding."
    )
    box_jitter: NotNegative = chosen(
        0.1, "Standard deviation of a box's sides, relative to their length."
    )
    mask_prompts: Fraction = chosen(0.4, "Fraction of first rounds prompted with a rough mask.")
    precision: Literal["fp32", "bf16"] = chosen("fp32", "fp32, or bf16 autocast.")
    checkpoint_every: Count = chosen(100, "Steps between checkpoints.")


def load_recipe(path: Path, overrides: Mapping[str, Any] | None = None) -> PretrainRecipe:
    """Reads a recipe.

    Args:
        path: A YAML file.
        overrides: Values that override those of the file, by key.

    Raises:
        InputError: With every mistake and its line.
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
