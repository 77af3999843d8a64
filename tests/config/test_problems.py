from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from spsam.config.problems import Place, check, describe, dotted
from spsam.config.yaml_file import KeyPath


class Inner(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    lr: Annotated[float, Field(gt=0)] = 0.1
    steps: int = 1


class Outer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    train: Inner = Inner()
    mode: Literal["fast", "slow"] = "fast"
    size: int | tuple[int, int] | None = None
    flag: bool = False
    must: str


def at(path: KeyPath) -> Place:
    return Place(Path("f.yaml"), 10 + len(path))


def said(data: Any) -> list[str]:
    value, problems = check(Outer, data, at)
    assert (value is None) == bool(problems)
    return [str(problem) for problem in problems]


def test_what_is_right_passes_with_lists_for_tuples_and_whole_numbers_for_numbers() -> None:
    value, problems = check(Outer, {"must": "x", "size": [3, 4], "train": {"lr": 1}}, at)
    assert problems == []
    assert value.size == (3, 4)
    assert isinstance(value.train.lr, float)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"trian": {}}, "f.yaml:11: trian: unknown key; did you mean 'train'?"),
        ({"train": {"step": 1}}, "f.yaml:12: train.step: unknown key; did you mean 'steps'?"),
        ({"lr": 1}, "f.yaml:11: lr: unknown key; did you mean 'train.lr'?"),
        ({"train": {"zzz": 1}}, "f.yaml:12: train.zzz: unknown key; known: lr, steps"),
        ({"train": {"steps": "3"}}, "train.steps: expected a whole number, got the text '3'"),
        ({"train": {"steps": 3.5}}, "train.steps: expected a whole number, got 3.5"),
        ({"train": {"steps": True}}, "train.steps: expected a whole number, got true"),
        ({"train": {"lr": "1e-4x"}}, "train.lr: expected a number, got the text '1e-4x'"),
        ({"train": {"lr": -1}}, "train.lr: expected a number greater than 0, got -1"),
        ({"train": 5}, "f.yaml:11: train: expected a mapping, got 5"),
        ({"train": None}, "f.yaml:11: train: expected a mapping, got null"),
        ({"flag": "off"}, "flag: expected true or false, got the text 'off'"),
        ({"mode": "fats"}, "expected 'fast' or 'slow', got the text 'fats'; did you mean 'fast'?"),
        ({"mode": 3}, "mode: expected 'fast' or 'slow', got 3"),
        (
            {"size": [1, "b"]},
            'size: expected a whole number, a list of 2 whole numbers or null, got [1, "b"]',
        ),
        ({"size": [1, 2, 3]}, "a list of 2 whole numbers or null, got [1, 2, 3]"),
    ],
)
def test_each_mistake_is_one_sentence(data: dict[str, Any], sentence: str) -> None:
    sentences = said({"must": "x"} | data)
    assert len(sentences) == 1
    assert sentences[0].endswith(sentence)


def test_all_mistakes_come_at_once() -> None:
    sentences = said({"trian": 1, "train": {"lr": "a", "steps": "b"}, "size": "big"})
    assert len(sentences) == 5
    assert any(sentence.endswith("must: is missing") for sentence in sentences)


def test_types_of_single_parameters_and_their_path() -> None:
    value, problems = check(tuple[int, ...], [1, "x"], at, ("blocks", "adapter", "widths"))
    assert value is None
    assert str(problems[0]) == (
        "f.yaml:14: blocks.adapter.widths[1]: expected a whole number, got the text 'x'"
    )


def test_values_that_no_yaml_holds_are_mistakes_too() -> None:
    assert "a set is neither a number, text, a list nor a mapping" in said({"must": {1}})[0]


def test_an_override_is_its_own_place() -> None:
    problem = Place(None, None, "--set train.lr=x").problem("train.lr: expected a number")
    assert str(problem) == "--set train.lr=x: train.lr: expected a number"


def test_paths_and_types_in_words() -> None:
    assert dotted(("a", "b", 0, "c")) == "a.b[0].c"
    assert describe(Annotated[int, Field(gt=0)] | None) == "a whole number or null"
    assert describe(tuple[float, ...]) == "a list of numbers"
    assert describe(Literal["a", "b"]) == "'a' or 'b'"
