"""What Optuna is told of a sweep's objectives."""

from __future__ import annotations

import random

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.importance import get_param_importances

from spsam.studies.sweep.plots import cost_of


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_importances_are_those_of_what_is_good(direction: str) -> None:
    """A rate decides which trials are good, a width which of them are worst."""
    study = optuna.create_study(direction=direction)
    sign = 1 if direction == "maximize" else -1
    rng = random.Random(0)
    space = {"rate": FloatDistribution(0, 1), "width": FloatDistribution(0, 1)}
    for _ in range(200):
        params = {name: rng.random() for name in space}
        good = float(params["rate"] > 0.9)
        value = sign * (good - 10 * float(params["width"] > 0.9) * (1 - good))
        study.add_trial(optuna.trial.create_trial(params=params, distributions=space, value=value))
    ours = get_param_importances(study, target=cost_of(study, 0))
    assert ours == pytest.approx(get_param_importances(study))
    assert ours["rate"] > 0.9
