from __future__ import annotations

import posixpath
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spsam.text.classes import RESERVED, class_labels, class_metrics

ODD = (
    *("mean", "Mean", "MEAN", "loss", "validation", "", " "),
    *("LV", "lv", "LV ", "class 1 - mean"),
    *(
        "左心室",
        "右心室",
        "Левый",
        "😀",
        "😁",
        "e\u0301",
        "\u00e9",
        "a/b",
        "a//b",
        "..",
        "/",
        "a_b",
    ),
    *("\x1b[31m", r"\u001b[31m", "a-12345678", "$x$", "x" * 300, "\udcff", "Ａ", "A"),
)
NAMES = st.lists(st.sampled_from(ODD) | st.text(st.characters(), max_size=12), max_size=12)


def test_ordinary_names_stay() -> None:
    names = ["background", "RV", "myocardium", "left kidney", "左心室", "Левый желудочек"]
    assert class_labels(names) == tuple(names)
    assert class_metrics(names, "dice") == tuple(f"dice/{name}" for name in names[1:])


def test_a_class_called_like_the_mean_leaves_the_mean_alone() -> None:
    names = ["background", "x", "mean"]
    assert class_labels(names) == ("background", "x", "class 2 - mean")
    assert class_metrics(names, "dice") == ("dice/x", "dice/class 2 - mean")


def test_two_classes_of_one_name_are_told_apart() -> None:
    assert class_labels(["b", "LV", "LV", ""]) == ("b", "class 1 - LV", "class 2 - LV", "class 3")


@pytest.mark.parametrize("pair", [("LV", "lv"), ("é", "e\u0301"), ("é", "e"), ("a/b", "a_b")])
def test_databases_that_do_not_tell_case_or_accents_have_two_metrics(pair: tuple[str, str]) -> None:
    first, second = class_metrics(["b", *pair], "dice")
    assert _folded(first) != _folded(second)


@given(NAMES)
def test_the_mapping_is_one_to_one_and_takes_no_reserved_word(names: list[str]) -> None:
    labels = class_labels(["background", *names])
    assert len(set(labels)) == len(labels)
    assert not {label.casefold() for label in labels[1:]} & RESERVED
    metrics = class_metrics(["background", *names], "dice")
    assert len({_folded(metric) for metric in metrics}) == len(names)
    assert not {"dice/mean", "dice/validation"} & set(metrics)
    for metric in metrics:
        # What MLflow demands of a name.
        assert re.fullmatch(r"[/\w.\- ]*", metric)
        assert posixpath.normpath(metric) == metric
        assert metric.count("/") == 1
        assert len(metric) <= 250


def test_metrics_do_not_depend_on_other_odd_classes() -> None:
    one = class_metrics(["b", "a//b", "😀"], "dice")
    assert class_metrics(["b", "a//b", "😀", "x"], "dice")[:2] == one


def _folded(name: str) -> str:
    parts = unicodedata.normalize("NFKD", name).casefold()
    return "".join(sign for sign in parts if not unicodedata.combining(sign))
