from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from spsam.reporting.figures import time
from spsam.reporting.figures.draw import draw_figures
from spsam.reporting.figures.style import styled
from spsam.reporting.records.verify import verify_record
from spsam.reporting.records.write import write_record
from spsam.reporting.report import write_report
from spsam.reporting.study_reader import read_study
from spsam.reporting.tables.study import StudyResults
from spsam.reporting.tables.time import time_table, trained_by_schedule
from spsam.results.run_folder import RunFolder
from tests.reporting.store import make_study

# Arm -> steps, minutes of training, and Dice. `fast` is ahead until `slow` fits.
ARMS = {
    "slow:short": (100, 4.0, 0.50),
    "fast:short": (100, 1.5, 0.60),
    "slow:long": (400, 18.0, 0.90),
    "fast:long": (400, 6.0, 0.70),
}


def schedules(
    home: Path,
    steps: tuple[int, ...] = (),
    cases: int = 12,
    **status: dict[tuple[str, int], str],
) -> Path:
    def value(arm: int, seed: int, case: int, k: int) -> float:
        shake = np.random.default_rng([arm, seed, case, k]).normal(0, 1e-3)
        return list(ARMS.values())[arm][2] + float(shake)

    folder = make_study(home, list(ARMS), seeds=(0, 1), value=value, cases=cases, **status)
    about = json.loads((folder / "ablation.json").read_text())
    for number, entry in enumerate(about["arms"]):
        count, minutes, _ = ARMS[entry["name"]]
        entry["recipe"] = entry["name"].partition(":")[2]
        entry["steps"] = steps[number] if steps else count
        entry["parent"] = None
        # The mean of two runs is the arm's time.
        for run_id, factor in zip(entry["run_ids"], (0.9, 1.1), strict=True):
            run = RunFolder(home, run_id)
            if run.path.is_dir():
                run.note(cost={"training_seconds": 60 * minutes * factor})
    (folder / "ablation.json").write_text(json.dumps(about))
    return folder


def results(folder: Path) -> StudyResults:
    return StudyResults(read_study(folder))


def test_a_row_shows_the_longest_schedule_that_fits(tmp_path: Path) -> None:
    table = time_table(results(schedules(tmp_path)))
    assert table is not None
    frame = table.frame()
    assert list(frame["minutes"]) == [2, 5, 10, 20]
    assert list(frame["steps: fast"]) == [100, 100, 400, 400]
    assert list(frame["steps: slow"].fillna(0)) == [0, 100, 100, 400]
    assert list(frame["ahead"]) == ["fast", "fast", "fast", "slow"]
    assert math.isnan(frame["lead"][0]), "nothing to compare with"
    assert frame["lead"][1:].to_numpy() == pytest.approx([10, 20, 20], abs=0.2)
    assert (frame["lead_low"][1:] <= frame["lead"][1:]).all()
    assert (frame["lead"][1:] <= frame["lead_high"][1:]).all()
    assert frame["dice: slow"][3] == pytest.approx(90, abs=0.1)
    assert (frame["ci_low: slow"][1:] < frame["dice: slow"][1:]).all()
    assert [cell.rank for cell in table.lines[3].cells[1:3]] == [1, 2]


def test_a_longer_schedule_is_shown_even_if_it_is_worse(tmp_path: Path) -> None:
    # The short schedule's scores are the long one's: choosing the better would use test cases.
    folder = schedules(tmp_path, steps=(400, 100, 100, 400))
    for run_id, minutes in (("slow:shortrun000", 18.0), ("slow:longrun000", 4.0)):
        for run in (RunFolder(tmp_path, run_id), RunFolder(tmp_path, run_id[:-1] + "1")):
            run.note(cost={"training_seconds": 60 * minutes})
    table = time_table(results(folder))
    assert table is not None
    assert table.frame()["dice: slow"][3] == pytest.approx(50, abs=0.1)


def test_days_of_training_have_rows(tmp_path: Path) -> None:
    folder = schedules(tmp_path)
    for arm, (_, minutes, _) in ARMS.items():
        for number in (0, 1):
            run = RunFolder(tmp_path, f"{arm}run{number:03d}")
            run.note(cost={"training_seconds": 60 * minutes * 1000})
    table = time_table(results(folder))
    assert table is not None
    assert list(table.frame()["minutes"]) == [1920, 3840, 7680, 15360, 30720]


def test_recipes_of_equal_length_are_no_schedules(tmp_path: Path) -> None:
    study = results(schedules(tmp_path, steps=(400, 400, 400, 400)))
    assert time_table(study) is None
    assert "time" not in {figure.name for figure in draw_figures(study, tmp_path / "figures")}


def test_a_study_without_recipes_has_no_schedules(tmp_path: Path) -> None:
    assert time_table(results(make_study(tmp_path))) is None


def test_a_missing_run_is_a_gap(tmp_path: Path) -> None:
    missing = {("slow:long", 0): "failed", ("slow:long", 1): "missing"}
    study = results(schedules(tmp_path, status=missing))
    assert [each.steps for each in trained_by_schedule(study)["slow"]] == [100]
    table = time_table(study)
    assert table is not None
    assert list(table.frame()["ahead"]) == ["fast", "fast", "fast"]


def test_one_patient_has_no_intervals(tmp_path: Path) -> None:
    table = time_table(results(schedules(tmp_path, cases=1)))
    assert table is not None
    texts = [cell.text for cell in table.lines[3].cells]
    assert texts[1].startswith("90.")
    assert texts[3].startswith("slow, +")
    assert not any("[" in text for text in texts)


def test_the_figure_has_a_line_a_method_and_a_point_a_schedule(tmp_path: Path) -> None:
    with styled():
        axis = time.draw(results(schedules(tmp_path))).figure.axes[0]
    lines = {str(line.get_label()): line for line in axis.get_lines()}
    assert set(lines) == {"slow", "fast"}
    assert lines["slow"].get_xdata() == pytest.approx([4, 18])
    assert lines["fast"].get_ydata() == pytest.approx([60, 70], abs=0.2)


def test_a_report_has_both_and_a_record_keeps_the_table(tmp_path: Path) -> None:
    folder = schedules(tmp_path)
    report = write_report(folder, formats=("markdown", "csv"), pdf=False)
    assert (report.folder / "time.md").read_text().count("\n| ") >= 4
    assert (report.folder / "figures" / "time.png").is_file()
    recorded = write_record(folder, tmp_path / "records" / "mine")
    assert (recorded / "tables" / "time.csv").is_file()
    assert not verify_record(recorded)
