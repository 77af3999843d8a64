"""Which epochs score validation cases, and which schedules cannot."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from spsam.config.schema import TrainConfig


@given(st.data(), st.integers(1, 40), st.integers(1, 50))
def test_the_epochs_are_multiples_in_the_second_phase(
    data: st.DataObject, epochs: int, every: int
) -> None:
    first = data.draw(st.integers(0, epochs))
    wanted = [e for e in range(epochs) if e >= first and (e + 1) % every == 0]
    values = {"epochs": epochs, "generator_epochs": first}
    if not wanted:
        with pytest.raises(ValidationError, match="expected a number with a multiple above"):
            TrainConfig.model_validate({**values, "validate_every": every})
        return
    train = TrainConfig.model_validate({**values, "validate_every": every})
    assert [epoch for epoch in range(epochs) if train.validates(epoch)] == wanted
    assert train.validations == len(wanted)


def test_without_an_interval_nothing_is_scored_or_chosen() -> None:
    train = TrainConfig.model_validate({"epochs": 4})
    assert not any(train.validates(epoch) for epoch in range(4))
    assert train.validations == 0
    with pytest.raises(ValidationError, match=r"best requires .*--validate EPOCHS"):
        TrainConfig.model_validate({"epochs": 4, "checkpoint": "best"})
