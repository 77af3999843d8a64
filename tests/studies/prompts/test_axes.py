from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import pytest

from spsam.config.problems import Place
from spsam.config.prompt_study import Disturbance, MaskPrompt
from spsam.config.schema import Block
from spsam.errors import Problem
from spsam.model.prompts.types import MaskForm
from spsam.registry.catalogue import Catalogue
from spsam.studies.prompts.axes import FORMS, forms, sources, strategies, subsets
from spsam.studies.prompts.cells import Form, Strategy, make_cells, with_one_point

NOWHERE = Place(None, None)


def of_subsets(*words: str) -> tuple[list[tuple[str, ...]], list[str]]:
    problems: list[Problem] = []
    found = subsets(words, Problem, problems)
    return found, [str(problem) for problem in problems]


def of_strategies(blocks: Sequence[Block] | None) -> tuple[Any, list[str]]:
    problems: list[Problem] = []
    found = strategies(blocks, Catalogue.load(), lambda index: NOWHERE, problems)
    return found, [str(problem) for problem in problems]


def of_sources(words: Sequence[str] | None, has_run: bool = False) -> tuple[list[str], list[str]]:
    problems: list[Problem] = []
    disturbances = [Disturbance(name="a", erode=1), Disturbance(name="b", box_jitter=0.1)]
    found = sources(words, disturbances, has_run=has_run, say=Problem, problems=problems)
    return [source.label for source in found], [str(problem) for problem in problems]


def test_subsets_have_one_order_and_stand_once() -> None:
    found, problems = of_subsets("mask+point", "box", "point+mask")
    assert found == [("point", "mask"), ("box",)]
    assert problems == []


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("piont+box", "did you mean 'point'"),
        ("box+box", "'box' occurs twice"),
        ("box+", "is missing"),
        ("", "is missing"),
    ],
)
def test_impossible_subsets(word: str, said: str) -> None:
    _found, problems = of_subsets("box", word)
    assert said in problems[0]


def test_every_component_is_a_strategy_and_gives_every_kind() -> None:
    found, problems = of_strategies(None)
    assert problems == []
    assert {s.label for s in found} == {card.name for card in Catalogue.load().cards("prompt")}
    assert all(s.params["use"] == ("point", "box", "mask") for s in found)
    assert all(s.takes_forms for s in found)
    assert {s.label for s in found if s.is_random} >= {"random"}


def test_parameters_are_part_of_a_strategy() -> None:
    found, problems = of_strategies([Block(name="random", params={"seed": 3}), Block(name="edt")])
    assert problems == []
    assert [s.label for s in found] == ["random(seed=3)", "edt"]
    assert not found[0].is_random  # its seed was given


def test_wrong_strategies_are_all_said() -> None:
    blocks = [
        Block(name="etd"),
        Block(name="random", params={"sede": 1}),
        Block(name="edt", params={"use": ("box",)}),
        Block(name="edt", params={"mask": "logits", "mask_values": (0, 1)}),
    ]
    _, problems = of_strategies(blocks)
    assert "unknown point strategy 'etd'; did you mean 'edt'?" in problems[0]
    assert "no parameter 'sede'; did you mean 'seed'?" in problems[1]
    assert "set 'use' with the study's key 'prompts'" in problems[2]
    assert "set 'mask' with the study's key 'mask'" in problems[3]
    assert "set 'mask_values' with the study's key 'mask'" in problems[4]


def of_forms(asked: Any) -> tuple[list[str], list[str]]:
    problems: list[Problem] = []
    found = forms(asked, Problem, problems)
    return [form.label for form in found], [str(problem) for problem in problems]


def test_every_form_of_the_mask_or_those_that_are_named() -> None:
    assert set(FORMS) == set(get_args(MaskForm))
    assert of_forms(None) == (list(FORMS), [])
    asked = [MaskPrompt(name="binary", values=(-10, 10)), MaskPrompt(name="log_odds")]
    assert of_forms([*asked, *asked]) == (["binary [-10, 10]", "log_odds"], [])


def test_wrong_forms_are_all_said() -> None:
    wrong = [MaskPrompt(name="binray"), MaskPrompt(name="logits", values=(0, 1))]
    _, problems = of_forms(wrong)
    assert "unknown mask prompt 'binray'; did you mean 'binary'?" in problems[0]
    assert "mask 'logits': values apply to binary masks only" in problems[1]
    assert "at least one" in of_forms([])[1][0]


def test_disturbed_stands_for_every_disturbance() -> None:
    assert of_sources(None) == (["ground truth", "a", "b"], [])
    assert of_sources(None, has_run=True)[0] == ["ground truth", "auxiliary", "a", "b"]
    assert of_sources(["b"]) == (["b"], [])


def test_wrong_sources() -> None:
    assert "did you mean 'ground_truth'" in of_sources(["groundtruth"])[1][0]
    assert "requires a trained run" in of_sources(["auxiliary"])[1][0]


def test_only_cells_that_differ() -> None:
    found, _ = of_strategies([Block(name="edt"), Block(name="random")])
    origin = sources(
        None,
        [Disturbance(name="b", box_jitter=0.1)],
        has_run=False,
        say=Problem,
        problems=[],
    )
    made = make_cells([("point",), ("box",), ("point", "box")], found, origin, [Form("binary")])
    assert [(cell.prompts, cell.point, cell.source.label) for cell in made] == [
        ("point", "edt", "ground truth"),
        ("point", "random", "ground truth"),
        ("box", None, "ground truth"),
        ("point+box", "edt", "ground truth"),
        ("point+box", "random", "ground truth"),
        ("box", None, "b"),
        ("point+box", "edt", "b"),
        ("point+box", "random", "b"),
    ]
    assert [cell.is_random for cell in made] == [0, 1, 0, 0, 1, 1, 1, 1]


def test_cells_with_masks_are_repeated_for_every_form() -> None:
    found, _ = of_strategies([Block(name="random"), Block(name="edt")])
    origin = sources(["ground_truth"], [], has_run=False, say=Problem, problems=[])
    asked = [Form("binary", (-4.0, 4.0)), Form("log_odds")]
    made = make_cells([("box",), ("mask",), ("point", "mask")], found, origin, asked)
    assert [(cell.prompts, cell.point, cell.mask) for cell in made] == [
        ("box", None, None),
        ("mask", None, "binary [-4, 4]"),
        ("mask", None, "log_odds"),
        ("point+mask", "random", "binary [-4, 4]"),
        ("point+mask", "random", "log_odds"),
        ("point+mask", "edt", "binary [-4, 4]"),
        ("point+mask", "edt", "log_odds"),
    ]
    assert made[1].params["mask_values"] == (-4.0, 4.0)
    assert made[2].params["mask"] == "log_odds"
    assert str(made[5]) == "point+mask by edt, mask binary [-4, 4], ground truth"
    # The paper's point and the first form stand where one must be chosen.
    chosen = with_one_point(made)
    assert [(cell.prompts, cell.point, cell.mask) for cell in chosen] == [
        ("box", None, None),
        ("mask", None, "binary [-4, 4]"),
        ("point+mask", "edt", "binary [-4, 4]"),
    ]


def test_a_component_that_cannot_be_told_the_form_is_asked_once() -> None:
    found, _ = of_strategies([Block(name="edt")])
    card = found[0].card
    dumb = Strategy(card, {}, {"inset": 1})
    origin = sources(["ground_truth"], [], has_run=False, say=Problem, problems=[])
    asked = [Form("binary"), Form("logits")]
    made = make_cells([("mask",), ("point", "mask")], [dumb, found[0]], origin, asked)
    assert [(cell.strategy is dumb, cell.use, cell.mask) for cell in made] == [
        (False, ("mask",), "binary"),
        (False, ("mask",), "logits"),
        (True, ("point", "mask"), None),
        (False, ("point", "mask"), "binary"),
        (False, ("point", "mask"), "logits"),
    ]
