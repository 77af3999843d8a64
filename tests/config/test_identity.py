from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spsam.config.identity import NOT_IDENTITY, canonical_json, identity, run_id
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
        "arm.inference.batch_size",
        "preset",
        "data.name",
        "data.split_name",
    )


@pytest.mark.parametrize(
    "change",
    [
        {"arm__name": "b"},
        {"arm__title": "B"},
        {"arm__parent": "p"},
        {"arm__plugins": ("folder",)},
        {"arm__backbone__checkpoint": "file.pth"},
        {"arm__train__workers": 3},
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


def test_everything_else_is_identity() -> None:
    content = identity(config())
    assert set(content) == {"arm", "data", "seed", "checkpoint_sha256"}
    assert "workers" not in content["arm"]["train"]
    assert content["arm"]["backbone"] == {
        "name": "sam_tiny",
        "weights": "shipped",
        "encoder_size": None,
    }


@given(st.dictionaries(st.text(), st.integers() | st.floats(allow_nan=False, allow_infinity=False)))
def test_the_order_of_keys_does_not_matter(value: dict[str, Any]) -> None:
    backwards = dict(reversed(list(value.items())))
    assert canonical_json(value) == canonical_json(backwards)
    assert canonical_json(value).isascii()
