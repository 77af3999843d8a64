from __future__ import annotations

import inspect
import typing
from pathlib import Path
from typing import Any, Literal

import pytest

from spsam.config.problems import Place
from spsam.errors import InputError
from spsam.registry.catalogue import SLOTS, Card, Catalogue
from spsam.registry.resolve import base_of, resolve
from spsam.registry.signature import REQUIRED, parameters, positional, validate

CARDS = [card for slot in SLOTS for card in Catalogue.load().cards(slot)]


def card_of(slot: str, name: str) -> Card:
    return Catalogue.load().card(slot, name)


@pytest.mark.parametrize("card", CARDS, ids=lambda card: f"{card.slot}-{card.name}")
def test_the_text_says_what_the_imported_class_says(card: Card) -> None:
    kind = resolve(card)
    signature = inspect.signature(kind.__init__)  # type: ignore[misc]
    expected: dict[str, tuple[Any, Any]] = {}
    for each in kind.__mro__:
        init = each.__dict__.get("__init__")
        if init is None:
            continue
        taken = inspect.signature(init).parameters
        expected = {
            name: (typing.get_type_hints(init)[name], parameter.default)
            for name, parameter in taken.items()
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY
        } | expected
        if all(one.kind is not inspect.Parameter.VAR_KEYWORD for one in taken.values()):
            break
    read = parameters(card)
    assert {one.name: (one.annotation, one.default) for one in read} == expected
    assert all(one.doc for one in read), "every parameter that YAML sets is described"
    given = [
        name
        for name, parameter in signature.parameters.items()
        if parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD and name != "self"
    ]
    slot = SLOTS[card.slot]
    base = slot.given(base_of(card, kind))
    assert positional(card) == tuple(given)
    assert given[: len(base)] == list(base)
    assert set(given[len(base) :]) <= set(slot.optional)


@pytest.mark.parametrize("card", CARDS, ids=lambda card: f"{card.slot}-{card.name}")
def test_every_default_is_of_its_type(card: Card) -> None:
    for parameter in parameters(card):
        if parameter.default is not REQUIRED:
            _, problems = validate(card, {parameter.name: parameter.default}, nowhere, ())
            assert problems == []


def nowhere(_: Any) -> Place:
    return Place(Path("arm.yaml"), 3)


def test_types_and_defaults_are_read_through_names_and_imports(installation: Path) -> None:
    read = {
        one.name: (one.annotation, one.default) for one in parameters(card_of("adapter", "tuned"))
    }
    assert read == {
        "ratio": (float, 0.5),
        "count": (int, 8),
        "widths": (tuple[int, ...] | None, None),
        "kind": (Literal["a", "b"] | None, None),
        "pair": (tuple[float, float], (-1.0, 2.0)),
        "on": (bool, True),
        "names": (list[str] | str, "x"),
    }
    assert positional(card_of("adapter", "tuned")) == ("dim", "depth")


def test_descriptions_come_from_docstrings_also_inherited(installation: Path) -> None:
    docs = {one.name: one.doc for one in parameters(card_of("adapter", "tuned"))}
    assert docs["ratio"] == "How wide."
    assert docs["widths"] == "Of the levels."
    (kind,) = parameters(card_of("prompt", "inherits"))
    assert (kind.annotation, kind.default) == (Literal["a", "b"], "a")
    assert kind.doc == "Which kind, in two lines."


def test_what_is_handed_to_the_base_is_the_base_s(installation: Path) -> None:
    size, kind = parameters(card_of("prompt", "extends"))
    assert (size.name, size.default, size.doc) == ("size", 3, "Its own.")
    assert (kind.name, kind.annotation, kind.default) == ("kind", Literal["a", "b"], "a")
    assert kind.doc == "Told anew."
    # What a class hands on by name is its own affair.
    (size,) = parameters(card_of("prompt", "fixes"))
    assert (size.name, size.default, size.doc) == ("size", 5, "Its own.")


def test_a_class_without_init_has_no_parameters(installation: Path) -> None:
    assert parameters(card_of("adapter", "plain")) == []
    assert positional(card_of("adapter", "plain")) == ()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("endless", r"blocks\.py:\d+: spsam.model.blocks:Endless must list its parameters"),
        ("open", r"blocks\.py:\d+: spsam.model.blocks:Open must list its parameters"),
        ("odd", r"blocks\.py:\d+: 'nn.Module' is not a supported type of a YAML parameter"),
        ("computed", r"blocks\.py:\d+: 'len\('abc'\)' is not a supported default"),
        ("untyped", r"blocks\.py:\d+: parameter 'size' requires a type"),
    ],
)
def test_signatures_that_are_no_schema(installation: Path, name: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        parameters(card_of("mask_head", name))


def test_targets_that_do_not_exist(installation: Path) -> None:
    own = Path("registry/adapter")
    own.mkdir(parents=True)
    text = "# A card.\ntarget: {}\nsummary: x.\n"
    (own / "a.yaml").write_text(text.format("spsam.model.absent:Plain"), encoding="utf-8")
    (own / "b.yaml").write_text(text.format("spsam.model.blocks:Tunde"), encoding="utf-8")
    (own / "c.yaml").write_text(text.format("subprocess:Popen"), encoding="utf-8")
    with pytest.raises(
        InputError, match=r"a.yaml:2: target: module 'spsam.model.absent' does not exist"
    ):
        parameters(card_of("adapter", "a"))
    with pytest.raises(InputError, match=r"defines no class 'Tunde'; did you mean 'Tuned'\?"):
        parameters(card_of("adapter", "b"))
    with pytest.raises(InputError, match="'subprocess:Popen' is not in spsam, nor in an installed"):
        parameters(card_of("adapter", "c"))


def test_broken_python_is_a_sentence(installation: Path) -> None:
    (installation / "spsam/model/blocks.py").write_text("class Plain(:\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"blocks\.py:1: is not valid Python"):
        parameters(card_of("adapter", "plain"))


def test_values_are_checked_strictly_and_filled_up(installation: Path) -> None:
    card = card_of("adapter", "tuned")
    values, problems = validate(card, {"ratio": 1, "widths": [3, 4]}, nowhere, ())
    assert problems == []
    assert values == {
        "ratio": 1.0,
        "count": 8,
        "widths": (3, 4),
        "kind": None,
        "pair": (-1.0, 2.0),
        "on": True,
        "names": "x",
    }
    assert isinstance(values["ratio"], float)


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"ration": 1}, "b.a: adapter 'tuned' has no parameter 'ration'; did you mean 'ratio'?"),
        ({"ratio": "1"}, "b.a.ratio: expected a number, got the text '1'"),
        ({"on": "off"}, "b.a.on: expected true or false, got the text 'off'"),
        ({"count": 1.5}, "b.a.count: expected a whole number, got 1.5"),
        ({"kind": "c"}, "b.a.kind: expected 'a', 'b' or null, got the text 'c'"),
        ({"pair": [1]}, "b.a.pair: expected a list of 2 numbers, got [1]"),
        ({"widths": [1, "x"]}, "b.a.widths[1]: expected a whole number, got the text 'x'"),
    ],
)
def test_wrong_values(installation: Path, params: dict[str, Any], sentence: str) -> None:
    _, problems = validate(card_of("adapter", "tuned"), params, nowhere, ("b", "a"))
    assert [str(problem) for problem in problems] == [f"arm.yaml:3: {sentence}"]


def test_a_parameter_without_default_must_be_given(installation: Path) -> None:
    _, problems = validate(card_of("prompt", "needs"), {}, nowhere, ())
    assert problems[0].message == "prompt 'needs' requires the parameter 'must'"
    _, problems = validate(card_of("adapter", "plain"), {"x": 1}, nowhere, ())
    assert problems[0].message == "adapter 'plain' has no parameter 'x'; it has none"
