"""What a pruner sees of a trial: the curve that any run has, at the sweep's interval."""

from __future__ import annotations

from typing import Any

import pytest

from spsam.config.identity import run_id
from spsam.config.schema import DataIdentity, RunConfig
from spsam.registry.arms import load_arm
from spsam.studies.sweep.trials import _scored


def config(**train: Any) -> RunConfig:
    data = DataIdentity(
        name="d", fingerprint="f", split_name="s", split_hash="h",
        num_classes=2, class_names=("background", "organ"), in_channels=1,
    )  # fmt: skip
    arm = load_arm("S1", {f"train.{key}": value for key, value in train.items()})
    return RunConfig(arm=arm, preset="smoke", data=data)


def test_a_trial_scores_cases_at_the_interval_and_stays_the_same_run() -> None:
    plain = config(epochs=10, generator_epochs=2)
    scored = _scored(plain, 5)
    assert [epoch for epoch in range(10) if scored.arm.train.validates(epoch)] == [4, 9]
    assert run_id(scored) == run_id(plain)
    # An arm's own interval gives way: the pruner's is the sweep's.
    own = config(epochs=10, generator_epochs=2, validate_every=3)
    assert _scored(own, 5).arm.train.validate_every == 5


@pytest.mark.parametrize(("epochs", "first"), [(4, 0), (9, 5)])
def test_a_trial_that_is_too_short_has_no_interval_that_a_reader_refuses(
    epochs: int, first: int
) -> None:
    short = config(epochs=epochs, generator_epochs=first)
    scored = _scored(short, 5)
    assert scored.arm.train.validate_every == 0
    assert RunConfig.model_validate_json(scored.model_dump_json()) == scored
