"""Figures of a sweep, and what Optuna is told of its objectives."""

from __future__ import annotations

import random
from itertools import combinations
from pathlib import Path

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.importance import get_param_importances

from spsam.reporting.figures.style import WIDTH, styled
from spsam.studies.sweep import plots
from spsam.studies.sweep.plots import cost_of, draw

ADAPTER, RATIO, LR = "blocks.adapter", "blocks.adapter.dfused.ratio", "train.optimizer.lr"


def a_study(count: int, directions: tuple[str, ...] = ("maximize",)) -> optuna.Study:
    """Trials of a choice, a parameter of one of them, a rate, and an amount with dollar signs."""
    study = optuna.create_study(directions=directions)
    rng = random.Random(0)
    for number in range(count):
        spaces: dict[str, BaseDistribution] = {
            ADAPTER: CategoricalDistribution(["none", "dfused"]),
            LR: FloatDistribution(1e-4, 1e-2, log=True),
            "$cost$": IntDistribution(1, 8),
        }
        params = {ADAPTER: ["none", "dfused"][number % 2], LR: 10 ** rng.uniform(-4, -2)}
        params["$cost$"] = rng.randint(1, 8)
        if number % 2:
            spaces[RATIO] = FloatDistribution(0.0625, 0.5)
            params[RATIO] = rng.uniform(0.0625, 0.5)
        values = [rng.random(), 1e6 * rng.random()][: len(directions)]
        trial = optuna.trial.create_trial(params=params, distributions=spaces, values=values)
        study.add_trial(trial)
    return study


@pytest.mark.parametrize("objectives", [["dice"], ["dice", "trained_parameters"]])
def test_every_figure_is_three_files(objectives: list[str], tmp_path: Path) -> None:
    study = a_study(6, ("maximize", "minimize")[: len(objectives)])
    shares = {name: {LR: 0.75, ADAPTER: 0.25} for name in objectives}
    files = draw(study, objectives, shares, tmp_path)
    stems = {"history", "importances", "parallel", "slice", *(["pareto"] * (len(objectives) > 1))}
    assert {file.name for file in files} == {
        f"{s}.{e}" for s in stems for e in ("pdf", "svg", "png")
    }
    assert all(file.stat().st_size > 1000 for file in files)


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_trials_are_no_figures(count: int, tmp_path: Path) -> None:
    assert draw(a_study(count), ["dice"], {}, tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_equal_trials_are_drawn(tmp_path: Path) -> None:
    study = optuna.create_study(direction="maximize")
    for _ in range(3):
        space = {"rate": FloatDistribution(0, 1)}
        same = optuna.trial.create_trial(params={"rate": 0.5}, distributions=space, value=0.5)
        study.add_trial(same)
    assert len(draw(study, ["dice"], {}, tmp_path)) == 9


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_the_line_of_the_best_so_far_only_improves(direction: str) -> None:
    study = a_study(30, (direction,))
    trials = study.get_trials()
    with styled():
        (axis,) = plots._history(study, trials, ["dice"]).axes
    dots, line = (list(each.get_ydata()) for each in axis.lines)
    pick = max if direction == "maximize" else min
    assert dots == [trial.value for trial in trials]
    assert line == [pick(dots[: end + 1]) for end in range(len(dots))]


@given(st.floats(1e-9, 1e9), st.floats(1.001, 1e12))
def test_ticks_of_a_logarithmic_axis_are_few_and_inside(low: float, ratio: float) -> None:
    ticks = plots._log_ticks(low, low * ratio)
    assert 2 <= len(ticks) <= 4
    assert all(low <= tick <= low * ratio for tick in ticks)
    assert ticks == sorted(set(ticks))


def test_names_of_parameters_keep_apart_and_inside() -> None:
    study = a_study(12)
    with styled():
        for figure in (
            plots._parallel(study, study.get_trials(), ["dice"]),
            plots._slices(study.get_trials(), ["dice"]),
        ):
            assert figure.get_figwidth() <= WIDTH
            figure.draw_without_rendering()
            for axis in figure.axes:
                boxes = [label.get_window_extent() for label in axis.get_xticklabels()]
                boxes = [box.shrunk(0.98, 0.98) for box in boxes if box.width]
                straight = all(label.get_rotation() == 0 for label in axis.get_xticklabels())
                assert not straight or not any(a.overlaps(b) for a, b in combinations(boxes, 2))
                assert all("mathdefault" not in t.get_text() for t in axis.get_xticklabels())


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
