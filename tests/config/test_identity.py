from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spsam.config.identity import (
    CAME_LATER,
    NOT_IDENTITY,
    as_of_then,
    canonical_json,
    identity,
    run_id,
)
from spsam.config.schema import RunConfig

SLOTS = (
    "input_adapter",
    "depth_pos_embed",
    "adapter",
    "prompt_generator",
    "prompt",
    "mask_head",
)


def config(**changes: Any) -> RunConfig:
    """A run; `changes` are dotted paths with __ for dots."""
    data: dict[str, Any] = {
        "arm": {
            "name": "a",
            "title": "A",
            "blocks": {slot: {"name": "x", "params": {"ratio": 0.25}} for slot in SLOTS},
            "backbone": {},
            "train": {"optimizer": {}},
            "inference": {},
        },
        "preset": "cpu",
        "data": {
            "name": "d",
            "fingerprint": "f",
            "split_name": "s",
            "split_hash": "h",
            "num_classes": 2,
            "class_names": ("background", "organ"),
            "in_channels": 1,
        },
    }
    for path, value in changes.items():
        *above, last = path.split("__")
        part = data
        for key in above:
            part = part[key]
        part[last] = value
    return RunConfig.model_validate(data)


def test_what_is_not_identity_is_exactly_this() -> None:
    assert NOT_IDENTITY == (
        "arm.name",
        "arm.title",
        "arm.parent",
        "arm.summary",
        "arm.plugins",
        "arm.backbone.checkpoint",
        "arm.train.workers",
        "arm.train.checkpoint_every",
        "arm.train.checkpoint_minutes",
        "arm.train.accumulate",
        "arm.train.checkpoint_activations",
        "arm.train.compile",
        "arm.train.deterministic",
        "arm.inference.batch_size",
        "preset",
        "data.name",
        "data.split_name",
    )


def test_what_came_later_is_exactly_this() -> None:
    assert CAME_LATER == {
        "arm.train.schedule": "poly",
        "arm.train.warmup_epochs": 0,
        "arm.train.checkpoint": "last",
        "arm.train.optimizer.betas": [0.9, 0.999],
        "arm.train.deep_supervision.weights": None,
        "arm.train.loss.batch_dice": True,
        "arm.train.loss.cross_entropy": 1.0,
        "arm.train.loss.dice": 1.0,
        "arm.train.loss.generator": 1.0,
        "arm.train.loss.mask": 1.0,
        "arm.inference.keep_largest": False,
        "arm.patch.anisotropy": 2.0,
        "data.preparation": 2,
        "data.regions": [],
        "data.ignore_id": None,
    }


def test_a_run_keeps_its_id_when_the_schema_grows() -> None:
    # Made without any of those keys: Dice over the batch, slices kept from a ratio of 2 on.
    assert (
        run_id(config(arm__train__loss={"batch_dice": True}, arm__patch={"anisotropy": 2.0}))
        == "1f36d2f616ee8b6e"
    )


def test_dice_per_patch_is_another_run() -> None:
    assert run_id(config()) != "1f36d2f616ee8b6e"


def test_a_stored_configuration_gets_the_values_of_its_time() -> None:
    """Not those that the schema has come to since."""
    old = config(arm__train__loss={"batch_dice": True}, arm__patch={"anisotropy": 2.0})
    stored = old.model_dump(mode="json")
    for dotted in CAME_LATER:
        *above, last = dotted.split(".")
        part = stored
        for key in above:
            part = part[key]
        del part[last]
    again = RunConfig.model_validate_json(json.dumps(as_of_then(stored)))
    assert run_id(again) == run_id(old)
    assert again.arm.train.loss.batch_dice is True
    assert as_of_then({"arm": "damaged"}) == {"arm": "damaged"}


@pytest.mark.parametrize(
    "change",
    [
        {"arm__train__schedule": "cosine"},
        {"arm__train__warmup_epochs": 1},
        {"arm__train__optimizer": {"betas": (0.9, 0.99)}},
        {"arm__train__deep_supervision": {"weights": (1.0,)}},
        {"arm__train__loss": {"mask": 2.0}},
        {"arm__train__loss": {"batch_dice": True}},
        {"arm__train__precision": "fp16"},
        {"arm__train__validate_every": 5, "arm__train__checkpoint": "best"},
    ],
)
def test_what_came_later_is_identity_where_it_is_used(change: dict[str, Any]) -> None:
    assert run_id(config(**change)) != run_id(config())


@pytest.mark.parametrize(
    "change",
    [
        {"arm__name": "b"},
        {"arm__title": "B"},
        {"arm__parent": "p"},
        {"arm__plugins": ("folder",)},
        {"arm__backbone__checkpoint": "file.pth"},
        {"arm__train__workers": 3},
        {"arm__train__accumulate": 2},
        {"arm__train__checkpoint_activations": True},
        {"arm__train__checkpoint_minutes": None},
        {"arm__train__validate_every": 5},
        {"preset": "other"},
        {"data__name": "e"},
    ],
)
def test_labels_paths_and_speed_leave_the_run_the_same(change: dict[str, Any]) -> None:
    assert run_id(config(**change)) == run_id(config())


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"checkpoint_sha256": "0"},
        {"initial_sha256": "0"},
        {"arm__train__epochs": 999},
        {"arm__train__optimizer__lr": 0.02},
        {"arm__blocks__adapter": {"name": "y", "params": {"ratio": 0.25}}},
        {"arm__blocks__adapter": {"name": "x", "params": {"ratio": 0.5}}},
        {"arm__evaluation": {"convention": "nnformer"}},
        {"data__fingerprint": "g"},
        {"data__split_hash": "i"},
        {"data__fold": 1},
    ],
)
def test_what_changes_results_changes_the_run(change: dict[str, Any]) -> None:
    assert run_id(config(**change)) != run_id(config())


def test_an_id_is_short_and_stays_the_same_through_a_file() -> None:
    first = config()
    again = RunConfig.model_validate_json(first.model_dump_json())
    assert run_id(again) == run_id(first)
    assert len(run_id(first)) == 16
    int(run_id(first), 16)


def test_how_often_weights_are_chosen_is_identity() -> None:
    ids = {
        run_id(config(arm__train={"validate_every": every, "checkpoint": "best"}))
        for every in (5, 10)
    }
    assert len(ids) == 2


def test_everything_else_is_identity() -> None:
    content = identity(config())
    assert set(content) == {"arm", "data", "seed", "checkpoint_sha256"}
    assert "workers" not in content["arm"]["train"]
    assert content["arm"]["backbone"] == {
        "name": "sam_tiny",
        "weights": "shipped",
        "encoder_size": None,
    }
    assert content["data"].get("preparation") is None
    assert content["arm"]["patch"]["anisotropy"] == 3.0


def test_data_that_are_prepared_otherwise_are_other_data() -> None:
    assert identity(config(data__preparation=3))["data"]["preparation"] == 3


@given(st.dictionaries(st.text(), st.integers() | st.floats(allow_nan=False, allow_infinity=False)))
def test_the_order_of_keys_does_not_matter(value: dict[str, Any]) -> None:
    backwards = dict(reversed(list(value.items())))
    assert canonical_json(value) == canonical_json(backwards)
    assert canonical_json(value).isascii()
