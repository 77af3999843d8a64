"""What the functions take: numbers, words and places, mistakes as sentences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import spsam
from spsam.api.values import numbers, optional_words, words


def test_a_number_is_a_count_of_seeds_and_a_fold() -> None:
    assert numbers("seeds", 3, count=True) == (0, 1, 2)
    assert numbers("seeds", [4, 0], count=True) == (4, 0)
    assert numbers("fold", 3) == (3,)
    assert numbers("fold", range(5)) == (0, 1, 2, 3, 4)
    assert numbers("fold", None) == ()
    assert numbers("seeds", np.int64(2), count=True) == (0, 1)
    assert [type(each) for each in numbers("fold", list(np.arange(2)))] == [int, int]


@pytest.mark.parametrize("value", [0, -1, 2.5, True, "3", [], [1, 1], [-1], [2**32], [1.0], {1}])
def test_other_seeds_are_refused(value: Any) -> None:
    with pytest.raises(spsam.InputError, match="seeds: expected"):
        numbers("seeds", value, count=True)


def test_words_are_one_or_several() -> None:
    assert words("S1..S3") == ["S1..S3"]
    assert words(["S1", Path("mine.yaml")]) == ["S1", "mine.yaml"]
    assert optional_words("box, point+box") == ["box", "point+box"]
    assert optional_words(["box", "point+box"]) == ["box", "point+box"]
    assert optional_words(None) is None


def test_mistakes_of_verbs_come_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(spsam.InputError, match="unknown arm 'S99'"):
        spsam.ablate("S99")
    with pytest.raises(spsam.InputError, match="fold: expected"):
        spsam.ablate("S9", fold=[0, 0])
    with pytest.raises(spsam.InputError, match="there is no such trained run"):
        spsam.prompts(run="S9")
    with pytest.raises(spsam.InputError, match="format lateks: unknown; did you mean 'latex'"):
        spsam.report(format="lateks")
    with pytest.raises(spsam.InputError, match="contains no study"):
        spsam.report()
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_is_the_command_lines_plan(tmp_path: Path) -> None:
    import json

    from typer.testing import CliRunner

    from spsam.cli.main import app

    plan = spsam.ablate("S3,S9", preset="smoke", seeds=2, out=tmp_path / "home", dry_run=True)
    command = ["ablate", "S3,S9", "--preset=smoke", "--seeds=2", f"--out={tmp_path / 'home'}"]
    result = CliRunner().invoke(app, [*command, "--dry-run", "--json"])
    told = json.loads(result.stdout)
    del told["without_gpu"]
    assert json.loads(json.dumps(plan.plan)) == told
    assert plan.table["run_ids"].tolist() == [arm["run_ids"] for arm in told["arms"]]
    assert plan.runs.empty
    assert plan.scores.empty
    assert not (tmp_path / "home").exists()
    asked = spsam.prompts(limit=1, prompts="box", out=tmp_path / "home", dry_run=True)
    assert set(asked.table["prompts"]) == {"box"}
    assert not (tmp_path / "home").exists()
