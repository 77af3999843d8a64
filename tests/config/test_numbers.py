from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from spsam.cli.ablate import parse_folds, parse_seeds, parse_shard
from spsam.cli.main import app
from spsam.config.numbers import LARGEST, unusable, whole
from spsam.config.study import load_study
from spsam.errors import InputError
from spsam.registry.arms import load_arm
from spsam.registry.files import arm_files

HUGE = "9" * 5000


def test_a_whole_number_is_short_digits() -> None:
    assert [whole(text) for text in ("0", "007", str(LARGEST))] == [0, 7, LARGEST]
    for text in ("", "-1", "1.5", "²", "٣", str(LARGEST + 1), HUGE, "x"):
        assert whole(text) is None


def test_unusable_numbers_have_their_path() -> None:
    value = {"a": [1, float("nan")], "b": {"c": -float("inf")}, "d": 10**5000, "e": True, "f": "x"}
    assert [path for path, _ in unusable(value)] == [("a", 1), ("b", "c"), ("d",)]


@pytest.mark.parametrize("text", ["99999999999", HUGE, f"0,{HUGE}", "10001"])
def test_seeds_of_any_size_are_refused_at_once(text: str) -> None:
    with pytest.raises(InputError, match="--seeds"):
        parse_seeds(text)


@pytest.mark.parametrize("text", ["0..99999999999", f"0..{HUGE}", HUGE, "0..20000", "0.."])
def test_folds_of_any_size_are_refused_at_once(text: str) -> None:
    with pytest.raises(InputError, match="--fold"):
        parse_folds(text)


def test_a_shard_of_any_size_is_refused() -> None:
    for text in (f"1/{HUGE}", "1/2/3", "/", "0/1", "2/1", "1"):
        with pytest.raises(InputError, match="--shard"):
            parse_shard(text)
    assert parse_shard("2/3") == (2, 3)


@pytest.mark.parametrize("word", ["S1..S99999999999", "S1..S20000", "1..4294967295"])
def test_a_range_of_arms_is_bounded(word: str) -> None:
    with pytest.raises(InputError, match="at most 10000 arms"):
        arm_files([word])


@pytest.mark.parametrize("value", [float("inf"), float("nan"), 1e300, 10**400, 2**40])
@pytest.mark.parametrize("key", ["blocks.adapter.ratio", "train.epochs", "train.optimizer.lr"])
def test_values_are_finite_and_bounded(key: str, value: Any) -> None:
    if isinstance(value, float) and value == 1e300 and key != "train.epochs":
        return  # a number, if a strange one
    with pytest.raises(InputError, match=key.rpartition(".")[2]):
        load_arm("S9", {key: value})


@pytest.mark.parametrize(
    "text",
    ["shape: {a: 1}", "shape: [arms]", "shape: arms\narms: [S1]\nseeds: 99999999999999999999"]
    + [f"shape: arms\narms: [S1]\nseeds: {n}" for n in ("1e20", HUGE, ".inf", "10001")]
    + ["shape: arms\narms: [S1]\nfolds: [.nan]"],
)  # fmt: skip
def test_a_study_with_an_odd_value_is_an_input_error(text: str, tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(f"title: t\n{text}\n")
    with pytest.raises(InputError, match=r"s\.yaml:"):
        load_study(tmp_path / "s.yaml")


@pytest.mark.parametrize(
    "words",
    [
        ["train", "S1", "--seed", str(2**33)],
        ["train", "S1", "--memory", "inf"],
        ["bench", "S1", "--repeats", str(2**33)],
        ["sweep", "adapter", "--trials", HUGE],
        ["evaluate", "a", "b", "--tolerance", "nan"],
        ["pretrain", "--questions", str(2**33)],
        ["prompts", "--seeds", str(2**33)],
        ["data", "check", "phantom", "--processes", "5000"],
    ],
)
def test_every_verbs_options_are_finite_and_bounded(words: list[str]) -> None:
    assert CliRunner().invoke(app, words).exit_code == 2
