from __future__ import annotations

import pytest

from spsam.config.overrides import flag, leaves, parse_overrides
from spsam.errors import InputError


def test_values_are_read_as_yaml() -> None:
    items = ["a.b=1e-4", "c=[1, 2]", "d=off", "e=null", "f=x=y", "g="]
    assert parse_overrides(items) == {
        "a.b": 1e-4,
        "c": [1, 2],
        "d": "off",
        "e": None,
        "f": "x=y",
        "g": None,
    }


def test_the_last_of_two_counts() -> None:
    assert list(parse_overrides(["a=1", "b=2", "a=3"]).items()) == [("b", 2), ("a", 3)]


def test_all_mistakes_come_at_once() -> None:
    with pytest.raises(InputError) as caught:
        parse_overrides(["epochs", "=3", "a..b=1", "a=[1", "b=2"])
    sentences = [str(problem) for problem in caught.value.problems]
    assert len(sentences) == 4
    assert sentences[0] == "--set epochs: expected key=value, e.g. --set train.epochs=20"
    assert sentences[3].startswith("--set a=[1: the value is not valid YAML")


def test_dotted_keys_and_nested_mappings_mean_the_same() -> None:
    dotted = {"train.optimizer.lr": 1, "train.epochs": 2}
    nested = {"train": {"optimizer": {"lr": 1}, "epochs": 2}}
    mixed = {"train": {"optimizer.lr": 1}, "train.epochs": 2}
    assert list(leaves(dotted)) == list(leaves(nested)) == list(leaves(mixed))


def test_a_value_is_shown_as_it_is_typed() -> None:
    assert flag(("train", "lr"), 0.1) == "--set train.lr=0.1"
    assert flag(("a",), "word") == "--set a=word"
    assert flag(("a",), None) == "--set a=null"
    assert flag(("a",), [1, 2]) == "--set a=[1, 2]"
