from __future__ import annotations

from typing import Any

import pytest

from spsam.config.places import shipped
from spsam.config.problems import Place, check
from spsam.config.prompt_study import Disturbance, PromptStudyConfig
from spsam.config.yaml_file import read_yaml


def mistakes(expected: Any, data: Any) -> list[str]:
    _, problems = check(expected, data, lambda path: Place(None, None))
    return [str(problem) for problem in problems]


def test_the_shipped_study_is_valid_and_has_all_seven_subsets() -> None:
    data = read_yaml(shipped("ablations") / "prompts.yaml").data
    config, problems = check(PromptStudyConfig, data, lambda path: Place(None, None))
    assert problems == []
    assert len(set(config.prompts)) == 7
    given = {amount for d in config.disturbances for amount in d.model_fields_set}
    assert given == set(Disturbance.model_fields)


def test_a_disturbance_disturbs() -> None:
    assert "at least one amount" in mistakes(Disturbance, {"name": "a"})[0]
    assert mistakes(Disturbance, {"name": "a", "erode": 1}) == []
    assert "erode" in mistakes(Disturbance, {"name": "a", "erode": -1})[0]
    assert (
        "did you mean 'dilate'" in mistakes(Disturbance, {"name": "a", "erode": 1, "dilat": 1})[0]
    )


@pytest.mark.parametrize(
    ("amounts", "felt", "random"),
    [
        ({"box_jitter": 0.1}, {"box"}, {"box"}),
        ({"point_shift": 2}, {"point"}, {"point"}),
        ({"erode": 2}, {"point", "box", "mask"}, set()),
        ({"drop": 0.5}, {"point", "box", "mask"}, {"point", "box", "mask"}),
    ],
)
def test_who_feels_a_disturbance(amounts: Any, felt: set[str], random: set[str]) -> None:
    disturbance = Disturbance(name="a", **amounts)
    kinds = ("point", "box", "mask")
    assert {kind for kind in kinds if disturbance.felt_by((kind,))} == felt
    assert {kind for kind in kinds if disturbance.is_random((kind,))} == random
