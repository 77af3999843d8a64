"""Plain SAM is asked at its own size, whatever the patch is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from spsam.engine.assemble import network_for
from spsam.errors import InputError
from spsam.model.networks.self_prompt_sam import SelfPromptSAM
from spsam.studies.prompts.plan_prompts import PromptStudy, plan_prompts
from spsam.studies.prompts.request import PromptRequest
from tests.data.layouts import write_msd


def planned(tmp_path: Path, **overrides: Any) -> PromptStudy:
    data = tmp_path / "organs"
    if not data.exists():
        write_msd(data)
    changes = {"backbone.weights": "random"} | {
        k.replace("__", "."): v for k, v in overrides.items()
    }
    return plan_prompts(PromptRequest(tmp_path / "out", data=str(data), overrides=changes))


def network(study: PromptStudy) -> SelfPromptSAM:
    with torch.device("meta"):
        found = network_for(study.subject.config, study.subject.plan.patch_size, None)
    assert isinstance(found, SelfPromptSAM)
    return found


@pytest.mark.parametrize(
    ("name", "size", "tokens"),
    [("sam_tiny", 128, 16), ("sam_vit_b", 1024, 64), ("sam_vit_h", 1024, 64)],
)
def test_at_the_size_that_its_weights_are_made_for(
    tmp_path: Path, name: str, size: int, tokens: int
) -> None:
    study = planned(tmp_path, backbone__name=name)
    sam = network(study)
    assert study.subject.plan.patch_size[1:] != (size, size)
    assert sam.image_encoder.image_size == (size, size)
    assert sam.mask_decoder.grid == (tokens, tokens)
    assert sam.mask_decoder.mask_size == (4 * tokens, 4 * tokens)
    assert f"input {size}×{size}" in study.subject.label


def test_another_size_is_a_choice(tmp_path: Path) -> None:
    own = planned(tmp_path)
    other = planned(tmp_path, backbone__encoder_size=64)
    as_patch = planned(tmp_path, backbone__encoder_size=None)
    assert network(other).image_encoder.image_size == (64, 64)
    assert network(as_patch).image_encoder.image_size == as_patch.subject.plan.patch_size[1:]
    nested = planned(tmp_path, backbone={"encoder_size": 64})
    assert nested.subject.identity == other.subject.identity
    assert len({s.subject.identity for s in (own, other, as_patch)}) == 3


def test_an_oblong_patch_keeps_its_aspect(tmp_path: Path) -> None:
    study = planned(tmp_path, patch__size=[32, 64])
    assert network(study).image_encoder.image_size == (64, 128)
    assert "input 64×128" in study.subject.label


def test_an_arm_with_a_size_of_its_own_keeps_it(tmp_path: Path) -> None:
    arm = tmp_path / "mine.yaml"
    arm.write_text("base: base\ntitle: Mine\nbackbone: {encoder_size: 96}\n")
    file = tmp_path / "study.yaml"
    file.write_text(f"arm: {arm}\n")
    write_msd(tmp_path / "organs")
    request = PromptRequest(tmp_path / "out", data=str(tmp_path / "organs"), study=file)
    assert network(plan_prompts(request)).image_encoder.image_size == (96, 96)


def test_what_a_component_refuses_is_told_by_the_plan(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(
        "point: [{name: edt, negatives: -1}, {name: farthest, count: 0}]\n"
        "mask: [{name: binary, values: [1, 0]}]\n"
    )
    write_msd(tmp_path / "organs")
    request = PromptRequest(tmp_path / "out", data=str(tmp_path / "organs"), study=file)
    with pytest.raises(InputError) as raised:
        plan_prompts(request)
    said = "\n".join(str(problem) for problem in raised.value.problems)
    for words in (
        "negatives must be at least 0: got -1",
        "count must be at least 1: got 0",
        "got [1, 0]",
    ):
        assert words in said
