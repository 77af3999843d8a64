from __future__ import annotations

import json
from pathlib import Path

import pytest

from spsam.reporting.page.verdict import schedule_words, study_title, verdict
from spsam.reporting.study_reader import read_study
from spsam.reporting.tables.study import StudyResults
from tests.reporting.store import as_external, make_study, noise


def judged(study: Path) -> StudyResults:
    return StudyResults(read_study(study))


def change(study: Path, /, **values: object) -> Path:
    file = study / "ablation.json"
    about = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(about | values), encoding="utf-8")
    return study


def with_steps(home: Path, epochs: int, iterations: int) -> None:
    for config in (home / "runs").glob("*/config.yaml"):
        train = f"  train: {{epochs: {epochs}, iterations: {iterations}}}\n"
        text = config.read_text(encoding="utf-8")
        config.write_text(text.replace("seed:", f"{train}seed:"), encoding="utf-8")


def test_the_best_arm_with_its_gain_and_its_test(tmp_path: Path) -> None:
    study = judged(make_study(tmp_path, cases=24))
    found, change = verdict(study), study.comparisons("dice")["S3"]
    assert found is not None
    assert (found.best, found.partial) == ("S3", "")
    mean = 100 * float(study.scores("dice")["S3"].mean())
    assert found.score.startswith(f"{mean:.2f}% [")
    low, high = 100 * change.low, 100 * change.high
    assert found.gain == f"+{100 * change.change:.2f} points [+{low:.2f}, +{high:.2f}] over S2"
    assert change.significant
    assert found.test.startswith("Significant (p ")
    assert "12 patients, Holm-corrected over 2 comparisons" in found.test


def test_a_gain_that_is_chance_is_called_so(tmp_path: Path) -> None:
    study = make_study(tmp_path, value=lambda arm, seed, case, k: noise(0, seed + 9 * arm, case, k))
    found = verdict(judged(study))
    assert found is not None
    assert found.test.startswith("Not ")


def test_one_seed_is_not_tested(tmp_path: Path) -> None:
    found = verdict(judged(make_study(tmp_path, seeds=(0,))))
    assert found is not None
    assert found.test == "Not tested: with a single seed, the difference may be due to chance."


def test_the_best_without_a_parent_leads_the_next_best(tmp_path: Path) -> None:
    first_best = make_study(tmp_path, value=lambda arm, *rest: noise(2 - arm, *rest))
    found = verdict(judged(first_best))
    assert found is not None
    assert found.best == "S1"
    assert found.gain.endswith("over S2, the next best")
    assert found.test.startswith("Not tested: no parent of S1")


def test_an_external_is_named_as_one(tmp_path: Path) -> None:
    found = verdict(judged(as_external(make_study(tmp_path), "S3")))
    assert found is not None
    assert found.best == "S3 (external)"
    assert "External predictions" in found.test


def test_a_study_in_the_making(tmp_path: Path) -> None:
    status = {("S3", 0): "missing", ("S2", 1): "failed"}
    found = verdict(judged(make_study(tmp_path / "some", status=status)))
    assert found is not None
    assert found.partial.startswith("7 of 9 runs")
    nothing = dict.fromkeys([("S1", 0), ("S2", 0), ("S3", 0)], "missing")
    assert verdict(judged(make_study(tmp_path / "none", seeds=(0,), status=nothing))) is None


@pytest.mark.parametrize(
    ("preset", "epochs", "words", "meaningless"),
    [
        (
            "smoke",
            2,
            "These numbers are meaningless. The schedule (4 optimiser steps per run)",
            True,
        ),
        ("smoke", 500, "These numbers are meaningless.", True),
        # Whatever a schedule is called: four steps learn nothing.
        ("paper", 2, "These numbers are meaningless.", True),
        ("paper", 500, "The paper's schedule (1000 optimiser steps per run).", False),
        ("cpu", 50, "A short schedule for a small machine (100 optimiser steps per run)", False),
        ("my/own.yaml", 60, "Schedule my/own.yaml (120 optimiser steps per run).", False),
    ],
)
def test_the_kind_of_schedule(
    tmp_path: Path, preset: str, epochs: int, words: str, *, meaningless: bool
) -> None:
    study = change(make_study(tmp_path, seeds=(0,)), preset=preset)
    with_steps(tmp_path, epochs, 2)
    text, nothing = schedule_words(read_study(study))
    assert text.startswith(words)
    assert nothing is meaningless


def test_a_schedule_that_nobody_recorded(tmp_path: Path) -> None:
    text, nothing = schedule_words(read_study(make_study(tmp_path, seeds=(0,))))
    assert "(steps are not recorded)" in text
    assert not nothing


def test_titles(tmp_path: Path) -> None:
    study = make_study(tmp_path / "few")
    assert study_title(read_study(study)) == "S1, S2, S3 on acdc"
    named = change(study, study={"title": "Which adapter", "shape": "arms"})
    assert study_title(read_study(named)) == "Which adapter on acdc"
    many = make_study(tmp_path / "many", [f"S{n}" for n in range(1, 10)], seeds=(0,))
    assert study_title(read_study(many)) == "9 arms, S1 to S9, on acdc"
