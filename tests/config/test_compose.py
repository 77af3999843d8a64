from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from spsam.config.compose import Composed, compose
from spsam.config.yaml_file import read_yaml

ROOT = """\
title: Root
blocks:
  adapter: {name: vanilla, ratio: 0.5}
train:
  epochs: 10
  optimizer: {lr: 0.1}
  widths: [1, 2, 3]
"""


class Files:
    """Arms in a temporary folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name: str, text: str) -> Path:
        path = self.folder / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def find(self, name: str) -> Path:
        return self.folder / f"{name}.yaml"

    def compose(
        self, name: str, overrides: Mapping[str, Any] | None = None, preset: Path | None = None
    ) -> Composed:
        files = [read_yaml(self.find(name))]
        while "base" in files[0].data:
            files.insert(0, read_yaml(self.find(files[0].data["base"])))
        laid = None if preset is None else read_yaml(preset)
        return compose(files, preset=laid, overrides=overrides)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    files = Files(tmp_path)
    files.write("root", ROOT)
    return files


def test_mappings_merge_and_lists_replace(files: Files) -> None:
    files.write("a", "base: root\ntrain:\n  optimizer: {momentum: 0.9}\n  widths: [9]\n")
    composed = files.compose("a")
    assert composed.data["train"] == {
        "epochs": 10,
        "optimizer": {"lr": 0.1, "momentum": 0.9},
        "widths": [9],
    }
    assert (composed.name, composed.parent) == ("a", "root")
    assert [path.stem for path in composed.chain] == ["root", "a"]


def test_a_title_is_not_handed_down(files: Files) -> None:
    files.write("a", "base: root\n")
    assert files.compose("root").data["title"] == "Root"
    assert files.compose("a").data["title"] == "a"
    assert files.compose("root").parent is None


def test_another_component_drops_the_old_ones_parameters(files: Files) -> None:
    files.write("swap", "base: root\nblocks: {adapter: dfused}\n")
    files.write("same", "base: root\nblocks: {adapter: vanilla}\n")
    files.write("tune", "base: root\nblocks: {adapter: {init: default}}\n")
    files.write("both", "base: root\nblocks: {adapter: {name: dfused, init: default}}\n")
    blocks = {name: files.compose(name).data["blocks"]["adapter"] for name in ("swap", "same")}
    assert blocks == {"swap": {"name": "dfused"}, "same": {"name": "vanilla", "ratio": 0.5}}
    tuned = files.compose("tune").data["blocks"]["adapter"]
    assert tuned == {"name": "vanilla", "ratio": 0.5, "init": "default"}
    both = files.compose("both").data["blocks"]["adapter"]
    assert both == {"name": "dfused", "init": "default"}


def test_an_arms_own_diff_wins_over_the_preset_and_overrides_over_all(files: Files) -> None:
    preset = files.write("presets/p", "summary: s\ntrain: {epochs: 2, optimizer: {lr: 0.2}}\n")
    files.write("a", "base: root\ntrain: {epochs: 3}\n")
    train = files.compose("a", preset=preset).data["train"]
    assert (train["epochs"], train["optimizer"]["lr"]) == (3, 0.2)
    assert files.compose("root", preset=preset).data["train"]["epochs"] == 2
    train = files.compose("a", {"train.epochs": 4}, preset).data["train"]
    assert (train["epochs"], train["optimizer"]["lr"]) == (4, 0.2)


def test_every_value_knows_where_it_was_written(files: Files) -> None:
    preset = files.write("presets/p", "train:\n  widths: [4]\n")
    a = files.write("a", "base: root\ntrain:\n  epochs: 3\n")
    composed = files.compose("a", {"train.optimizer.lr": 0.3}, preset)
    root = files.find("root")
    assert composed.place(("train", "epochs"))[:2] == (a, 3)
    assert composed.place(("train", "widths", 0))[:2] == (preset, 2)
    assert composed.place(("blocks", "adapter", "ratio"))[:2] == (root, 3)
    assert composed.place(("train", "optimizer", "lr")).flag == "--set train.optimizer.lr=0.3"
    assert composed.place(("train", "optimizer")).flag is None
    assert composed.place(("nowhere",))[:2] == (a, None)


def test_an_override_is_blamed_for_what_it_breaks(files: Files) -> None:
    composed = files.compose("root", {"train.epochs.x": 1, "trian.lr": 2, "blocks.adapter": "none"})
    assert composed.data["train"]["epochs"] == {"x": 1}
    assert composed.place(("train", "epochs")).flag == "--set train.epochs.x=1"
    assert composed.place(("trian",)).flag == "--set trian.lr=2"
    assert composed.place(("blocks", "adapter", "name")).flag == "--set blocks.adapter=none"
    assert composed.data["blocks"]["adapter"] == {"name": "none"}


def test_overrides_follow_their_order(files: Files) -> None:
    data = files.compose("root", {"blocks.adapter": "dfused", "blocks.adapter.ratio": 1}).data
    assert data["blocks"]["adapter"] == {"name": "dfused", "ratio": 1}


def test_merging_leaves_the_parsed_files_alone(files: Files) -> None:
    before = files.compose("root").data
    composed = files.compose("root", {"train.optimizer.lr": 5})
    composed.data["train"]["widths"].append(4)
    assert files.compose("root").data == before


def test_what_a_file_may_not_say(files: Files) -> None:
    preset = files.write("presets/p", "base: root\n")
    files.write("a", "base: root\nname: b\nplugins: [/evil]\n")
    composed = files.compose("a", {"name": "c"}, preset)
    sentences = [problem.message for problem in composed.problems]
    assert composed.data["name"] == "a"
    assert "plugins" not in composed.data
    assert sentences == [
        "base: not allowed in a preset, which applies to any arm",
        "name: unknown key; the name of an arm is the name of its file",
        "plugins: unknown key; use --plugin, since a file must not select code to run",
        "--set name=c: 'name' cannot be overridden",
    ]
