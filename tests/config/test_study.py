from __future__ import annotations

from pathlib import Path

import pytest

from spsam.config.places import shipped
from spsam.config.study import is_study, load_study
from spsam.errors import InputError


def said(tmp_path: Path, text: str) -> list[str]:
    file = tmp_path / "s.yaml"
    file.write_text(text)
    with pytest.raises(InputError) as caught:
        load_study(file)
    return [str(problem).removeprefix(f"{file}:") for problem in caught.value.problems]


def test_all_mistakes_at_once_with_their_lines(tmp_path: Path) -> None:
    text = """\
title: A
shape: factorial
bases: S9
seeds: [0, 0]
folds: many
factors:
  blocks.adapter: [none]
  blocks.mask_head: [argmax, argmax]
  train.epochs: 4
"""
    found = said(tmp_path, text)
    for begins, holds in (
        ("3: bases: unknown key", "did you mean 'base'?"),
        ("4: seeds: ", "each only once"),
        ("5: folds: ", "expected"),
        ("7: factors.blocks.adapter: ", "at least two choices"),
        ("8: factors.blocks.mask_head: ", 'contains "argmax" twice'),
        ("9: factors.train.epochs: ", "expected a list of values, got 4"),
    ):
        assert any(line.startswith(begins) and holds in line for line in found), (begins, found)
    assert any("base: is missing" in line for line in found)
    assert len(found) == 7


def test_an_unknown_shape_names_the_nearest(tmp_path: Path) -> None:
    (line,) = said(tmp_path, "title: A\nshape: factorail\n")
    assert line == "2: shape: unknown shape 'factorail'; did you mean 'factorial'?"


def test_a_key_of_another_shape_is_refused(tmp_path: Path) -> None:
    found = said(tmp_path, "title: A\nshape: leave_one_out\nfull: S9\nfactors: {a: [1, 2]}\n")
    assert found[0].startswith("4: factors: unknown key")


def test_seeds_are_a_number_or_a_list(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    for text, wanted in (("3", (0, 1, 2)), ("[0, 4]", (0, 4))):
        file.write_text(f"title: A\nshape: arms\narms: [S1]\nseeds: {text}\n")
        assert load_study(file).config.seed_numbers == wanted


@pytest.mark.parametrize("name", ["leave_one_out", "one_at_a_time", "factorial"])
def test_a_shipped_study_begins_with_its_command(name: str) -> None:
    file = shipped("ablations") / "studies" / f"{name}.yaml"
    assert is_study(file)
    assert load_study(file).config.shape == name
    assert f"# spsam ablate {name} " in file.read_text()
    assert not is_study(shipped("ablations") / "base.yaml")
