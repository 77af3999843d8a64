from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from spsam.reporting.statistics.compare import compare_all, patient_differences
from spsam.reporting.statistics.mixed import MOST_OBSERVATIONS, mixed_effects
from spsam.reporting.statistics.scores import arm_scores
from spsam.reporting.study_data import StudyData
from spsam.reporting.study_reader import read_study
from tests.reporting.store import make_study


def noisy(arm: int, seed: int, case: int, k: int) -> float:
    run = np.random.default_rng([arm, seed]).normal(0, 0.01)
    patient = np.random.default_rng([99, case // 2]).normal(0, 0.05)
    rest = np.random.default_rng([arm, seed, case, k]).normal(0, 0.02)
    return float(np.clip(0.6 + 0.03 * arm + run + patient + rest, 0, 1))


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> StudyData:
    folder = tmp_path_factory.mktemp("study")
    return read_study(make_study(folder, ("A", "B", "C"), range(4), cases=24, value=noisy))


def test_means_go_over_cases_then_classes_then_seeds(tmp_path: Path) -> None:
    values = {(0, 1): [0.5, 0.7], (0, 2): [math.nan, 0.2], (1, 1): [0.8, 0.8], (1, 2): [0.4, 0.4]}
    folder = make_study(
        tmp_path,
        ("A",),
        (0, 1),
        cases=2,
        classes=("background", "one", "two"),
        value=lambda a, s, c, k: 1.0 if k == 0 else values[s, k][c],
    )
    scores = arm_scores(read_study(folder), "dice")["A"]
    # Seed 0: classes 0.6 and 0.2 (the NaN does not count), mean 0.4. Seed 1: 0.8 and 0.4, mean 0.6.
    assert scores.seed_means() == pytest.approx([0.4, 0.6])
    assert float(scores.mean()) == pytest.approx(0.5)
    assert float(scores.classes([1]).mean()) == pytest.approx(0.3)


def test_scores_agree_with_a_plain_mean_over_the_rows(measured: StudyData) -> None:
    rows = measured.rows[measured.rows["class_id"] > 0]
    means = rows.groupby(["arm", "seed", "class_name"], observed=True)["value"].mean()
    means = means.groupby(["arm", "seed"], observed=True).mean().groupby("arm", observed=True)
    for arm, scores in arm_scores(measured, "dice").items():
        assert float(scores.mean()) == pytest.approx(means.mean()[arm])


def test_a_comparison_pairs_patients(measured: StudyData) -> None:
    scores = arm_scores(measured, "dice")
    found = compare_all(scores, [("B", "A"), ("C", "B")])["B"]
    assert found.patients == 12
    assert found.seeds == 4
    differences = patient_differences(scores["B"], scores["A"])
    assert differences.mean() == pytest.approx(found.change)
    assert found.low < found.change < found.high
    assert found.corrected >= found.permutation
    # The patients differ far more than the arms: only pairs show the difference.
    assert found.high - found.low < 0.02


def test_one_seed_is_never_significant(tmp_path: Path) -> None:
    folder = make_study(
        tmp_path, ("A", "B", "C"), (0, 1), cases=40, status={("B", 1): "failed"}, value=noisy
    )
    found = compare_all(arm_scores(read_study(folder), "dice"), [("B", "A"), ("C", "A")])
    assert found["B"].wilcoxon < 0.01  # as clear as it could be
    assert found["B"].seeds == 1
    assert not found["B"].significant
    assert found["B"].mark == ""
    assert math.isnan(found["B"].seeds_needed)
    assert found["C"].mark == "***"
    # What is no test is not counted by Holm either.
    assert found["C"].corrected == found["C"].permutation


def test_arms_that_are_equal_are_not_significant(tmp_path: Path) -> None:
    folder = make_study(tmp_path, ("A", "B"), (0, 1), value=lambda a, s, c, k: 0.5)
    found = compare_all(arm_scores(read_study(folder), "dice"), [("B", "A")])["B"]
    assert found.change == 0
    assert found.permutation == found.wilcoxon == 1
    assert not found.significant


def test_an_arm_without_runs_is_not_compared(tmp_path: Path) -> None:
    folder = make_study(tmp_path, ("A", "B"), (0,), status={("A", 0): "missing"})
    scores = arm_scores(read_study(folder), "dice")
    assert compare_all(scores, [("B", "A")]) == {}
    assert math.isnan(float(scores["A"].mean()))


def test_mixed_effects_find_what_was_put_in(measured: StudyData) -> None:
    scores = arm_scores(measured, "dice")
    found = mixed_effects(scores["C"], scores["A"])
    assert found.reason == ""
    # Balanced data: the fixed effect is the difference of means.
    assert found.change == pytest.approx(float(scores["C"].mean() - scores["A"].mean()))
    assert found.patient_sd == pytest.approx(0.05, rel=0.6)
    assert 0.002 < found.seed_sd < 0.03
    assert found.p < 0.01


def test_mixed_effects_are_statsmodels(measured: StudyData) -> None:
    # With patients alone, against a plain fit with the patient as group.
    import statsmodels.formula.api as formulas

    scores = arm_scores(measured, "dice")
    rows = measured.rows[(measured.rows["class_id"] > 0) & measured.rows["arm"].isin(["A", "B"])]
    table = rows.groupby(["arm", "seed", "patient", "class_name"], observed=True)["value"].mean()
    table = table.groupby(["arm", "seed", "patient"], observed=True).mean().reset_index()
    table["is_b"] = 1.0 * (table["arm"] == "B")
    table["percent"] = 100 * table["value"]
    table["run"] = table["arm"].astype(str) + table["seed"].astype(str)
    plain = formulas.mixedlm(
        "percent ~ is_b",
        table,
        groups=np.ones(len(table)),
        vc_formula={"patient": "0 + C(patient)", "run": "0 + C(run)"},
        re_formula="0",
    ).fit()
    found = mixed_effects(scores["B"], scores["A"])
    assert 100 * found.change == pytest.approx(plain.params["is_b"], rel=1e-6)
    assert 100 * found.error == pytest.approx(plain.bse["is_b"], rel=1e-2)


def test_mixed_effects_say_why_there_are_none(tmp_path: Path, measured: StudyData) -> None:
    scores = arm_scores(measured, "dice")
    single = arm_scores(read_study(make_study(tmp_path, ("A", "B"), (0,))), "dice")
    assert "two seeds" in mixed_effects(single["B"], single["A"]).reason
    same = make_study(tmp_path / "same", ("A", "B"), (0, 1), value=lambda a, s, c, k: 0.5)
    equal = arm_scores(read_study(same), "dice")
    assert "no variation" in mixed_effects(equal["B"], equal["A"]).reason
    many = np.tile(scores["A"].sums, (20, 1, 1))
    large = type(scores["A"])(many, np.ones_like(many), scores["A"].seeds)
    assert str(MOST_OBSERVATIONS) in mixed_effects(large, large).reason
