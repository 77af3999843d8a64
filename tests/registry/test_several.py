"""Several components in one slot: how they are written, set, told apart and trusted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from spsam.config.schema import RunConfig
from spsam.errors import InputError
from spsam.registry.arms import load_arm
from spsam.registry.catalogue import Catalogue
from spsam.registry.differences import differences
from spsam.registry.trust import with_plugins

PAIR = "blocks:\n  adapter:\n  - {name: fact, rank: 5}\n  - conv_depth\n"


def arm(tmp_path: Path, text: str, overrides: Any = None) -> Any:
    path = tmp_path / "mine.yaml"
    path.write_text(f"base: S9\n{text}", encoding="utf-8")
    return load_arm(path, overrides)


def chosen(arm: Any) -> dict[str, Any]:
    return {block.name: block.params for block in arm.blocks.of("adapter")}


def test_each_comes_with_all_parameters(tmp_path: Path) -> None:
    found = chosen(arm(tmp_path, PAIR))
    assert list(found) == ["fact", "conv_depth"]
    assert found["fact"]["rank"] == 5
    assert found["fact"]["targets"] == ("q", "v")
    assert found["conv_depth"] == {"ratio": 0.5, "init": "zero"}


def test_a_parameter_is_set_by_its_component(tmp_path: Path) -> None:
    overrides = {"blocks.adapter.fact.rank": 9, "blocks.adapter.conv_depth.ratio": 0.25}
    found = chosen(arm(tmp_path, PAIR, overrides))
    assert (found["fact"]["rank"], found["conv_depth"]["ratio"]) == (9, 0.25)
    (tmp_path / "other.yaml").write_text(
        "base: mine.yaml\nblocks: {adapter: {fact: {rank: 7}}}\n", encoding="utf-8"
    )
    assert chosen(load_arm(tmp_path / "other.yaml"))["fact"]["rank"] == 7


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"blocks.adapter.rank": 9}, "expected a parameter of fact and conv_depth"),
        ({"blocks.adapter.fact": 9}, "expected a parameter of fact and conv_depth"),
        ({"blocks.adapter.fact.rnk": 9}, "no parameter 'rnk'; did you mean 'rank'"),
        ({"blocks.adapter.fact.rank": "x"}, r"adapter\[0\].rank: expected a whole number"),
    ],
)
def test_what_cannot_be_set(tmp_path: Path, overrides: Any, said: str) -> None:
    with pytest.raises(InputError, match=said) as refused:
        arm(tmp_path, PAIR, overrides)
    assert str(refused.value).startswith("--set blocks.adapter.")


def test_mistakes_have_their_lines(tmp_path: Path) -> None:
    wrong = "blocks:\n  adapter:\n  - {name: fact, rank: no}\n  - conv_dpeth\n"
    with pytest.raises(InputError) as refused:
        arm(tmp_path, wrong)
    lines = str(refused.value).splitlines()
    assert [line.partition(": ")[0].rpartition(":")[2] for line in lines] == ["4", "5"]
    assert "did you mean 'conv_depth'" in lines[1]


def test_another_choice_replaces_all(tmp_path: Path) -> None:
    assert list(chosen(arm(tmp_path, PAIR, {"blocks.adapter": "lora"}))) == ["lora"]
    both = {"blocks.adapter": ["lora", "conv3d"]}
    assert list(chosen(arm(tmp_path, PAIR, both))) == ["lora", "conv3d"]


def test_only_a_slot_for_several_takes_a_list() -> None:
    with pytest.raises(InputError, match="mask_head: expected a component's name"):
        load_arm("S9", {"blocks.mask_head": ["argmax", "softmax"]})


def test_what_changes_is_named_by_component(tmp_path: Path) -> None:
    both, plain = arm(tmp_path, PAIR), load_arm("S9")
    assert differences(both, plain, Catalogue.load()) == [
        {"key": "blocks.adapter", "parent": "dfused", "value": "fact + conv_depth"},
        {"key": "blocks.adapter.fact.rank", "parent": 32, "value": 5},
    ]
    other = arm(tmp_path, PAIR, {"blocks.adapter.conv_depth.ratio": 0.25})
    assert differences(other, both, Catalogue.load()) == [
        {"key": "blocks.adapter.conv_depth.ratio", "parent": 0.5, "value": 0.25}
    ]


def test_a_stored_run_with_several_is_read_back(tmp_path: Path) -> None:
    data = {
        "name": "x",
        "fingerprint": "f",
        "split_name": "s",
        "split_hash": "h",
        "num_classes": 2,
        "class_names": ["a", "b"],
        "in_channels": 1,
    }
    stored = {"arm": arm(tmp_path, PAIR).model_dump(mode="json"), "preset": "cpu", "data": data}
    config = RunConfig.model_validate_json(json.dumps(stored))
    assert chosen(config.arm) == chosen(arm(tmp_path, PAIR))
    assert with_plugins(config, (), tmp_path / "config.yaml").arm.blocks == config.arm.blocks
    stored["arm"]["blocks"]["adapter"][1]["name"] = "theirs"
    config = RunConfig.model_validate_json(json.dumps(stored))
    with pytest.raises(InputError, match="requires the adapter 'theirs'"):
        with_plugins(config, (), tmp_path / "config.yaml")
