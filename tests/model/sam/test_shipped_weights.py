"""The weights that come with spsam: whole, small, of their recipe, and better than chance."""

from __future__ import annotations

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from spsam.config.places import shipped
from spsam.config.pretrain import load_recipe
from spsam.engine.pretrain import held_out, measure
from spsam.errors import InputError
from spsam.model.sam.backbones import BACKBONES, backbone_spec
from spsam.model.sam.build import build_sam
from spsam.model.sam.promptable import PromptableSAM

SPEC = backbone_spec("sam_tiny")
RECIPE = load_recipe(shipped("ablations") / "pretrain" / "sam_tiny.yaml")


def test_they_are_small_and_carry_the_recipe_that_made_them() -> None:
    assert SPEC.shipped_weights.stat().st_size <= 15 * 2**20
    assert {value.dtype for value in load_file(SPEC.shipped_weights).values()} == {torch.float16}
    with safe_open(SPEC.shipped_weights, "pt") as file:
        assert type(RECIPE).model_validate_json(file.metadata()["recipe"]) == RECIPE


@pytest.mark.parametrize("name", [name for name in BACKBONES if name != SPEC.name])
def test_other_sizes_have_none_and_it_is_said_what_to_do(name: str) -> None:
    said = r"--checkpoint FILE or --set backbone.weights=random; \S+.pth"
    with pytest.raises(InputError, match=said):
        _ = backbone_spec(name).shipped_weights


def test_they_answer_prompts_where_random_weights_do_not() -> None:
    size = (SPEC.native_size, SPEC.native_size)
    scores = []
    for path in (SPEC.shipped_weights, None):
        encoder, decoder, _ = build_sam(SPEC.name, size, checkpoint=path)
        scores.append(measure(PromptableSAM(SPEC, (encoder, decoder)), held_out(RECIPE, 6)))
    taught, random = scores
    assert all(taught[kind] > random[kind] + 0.15 for kind in taught)
