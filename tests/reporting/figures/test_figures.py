from __future__ import annotations

import json
import math
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spsam.checksums import from_sealed_json, to_sealed_json
from spsam.reporting.figures import classes, curves, depth, panels, waterfall
from spsam.reporting.figures.calibration import expected_calibration_error
from spsam.reporting.figures.depth import PARTS, profile
from spsam.reporting.figures.draw import FIGURES, OF_SOME, ReportFigure, draw_figures
from spsam.reporting.figures.panel_views import ERRORS, error_map
from spsam.reporting.figures.pareto import front
from spsam.reporting.figures.style import NARROW, Drawing, data_limits, save, styled
from spsam.reporting.study_reader import read_study
from spsam.reporting.tables.study import StudyResults
from spsam.results.measures import BINS, Measures
from spsam.results.panels import Panel
from spsam.results.run_folder import VALIDATION_DICE, RunFolder
from tests.reporting.recorded import record
from tests.reporting.store import make_study

RECORDED = {"panels", "curves", "calibration", "depth"}


def draw(study: Path, folder: Path) -> dict[str, ReportFigure]:
    return {f.name: f for f in draw_figures(StudyResults(read_study(study)), folder)}


def test_a_study_with_everything_has_every_figure(tmp_path: Path) -> None:
    study = make_study(tmp_path, seeds=(0, 1), status={("S2", 1): "failed"})
    for number, run in enumerate(("S1run000", "S1run001", "S2run000", "S3run000", "S3run001")):
        record(tmp_path, run, seed=number)
    found = draw(study, tmp_path / "first")
    assert list(found) == [name for name in FIGURES if name not in OF_SOME]
    for figure in found.values():
        assert [file.suffix for file in figure.files] == [".pdf", ".svg", ".png"]
        assert figure.files[0].read_bytes().startswith(b"%PDF")
        assert ET.parse(figure.files[1]).getroot().tag.endswith("svg")
        assert figure.files[2].read_bytes().startswith(b"\x89PNG")
        # A phone's is a figure of its own, not the same one smaller.
        assert _inches(figure.narrow) == pytest.approx(NARROW, abs=0.05)
        assert _inches(figure.files[1].read_text()) > NARROW + 1
        assert figure.caption.endswith(".")
    with styled():
        again = save(
            classes.draw(StudyResults(read_study(study))).figure, tmp_path / "second", "classes"
        )
    for one, other in zip(found["classes"].files, again, strict=True):
        assert one.read_bytes() == other.read_bytes()


def _inches(svg: str) -> float:
    return float(ET.fromstring(svg).attrib["width"].removesuffix("pt")) / 72


def test_what_is_not_recorded_is_left_out_with_a_sentence(tmp_path: Path) -> None:
    study = make_study(tmp_path, seeds=(0,))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "depth.png").write_bytes(b"of an earlier report")
    found = draw(study, tmp_path / "out")
    absent = {name for name, figure in found.items() if not figure.files}
    assert absent == RECORDED
    assert all(found[name].caption.endswith(".") for name in absent)
    assert "optimiser step" in found["pareto"].caption.partition("Not shown")[2]
    assert not (tmp_path / "out" / "depth.png").exists()


def test_a_study_without_a_finished_run_has_no_figure(tmp_path: Path) -> None:
    status = dict.fromkeys([("S1", 0), ("S2", 0)], "failed") | {("S3", 0): "missing"}
    study = make_study(tmp_path, seeds=(0,), status=status)
    found = draw(study, tmp_path / "out")
    assert not any(figure.files for figure in found.values())


def test_one_case_and_scores_that_are_no_numbers_draw(tmp_path: Path) -> None:
    study = make_study(
        tmp_path,
        arms=("S1", "A_1$&<x>"),
        seeds=(0,),
        cases=1,
        value=lambda arm, *_: math.nan if arm else 0.5,
        titles={"S1": "a title that is far too long to be written beside an axis in full, really"},
    )
    for run in ("S1run000", "A_1$&<x>run000"):
        record(tmp_path, run, cases=1)
    of = StudyResults(read_study(study))
    with styled():
        for name in ("waterfall", "classes", "pareto"):
            assert save(FIGURES[name][1](of).figure, tmp_path / "out", name)


def test_a_damaged_record_is_no_crash(tmp_path: Path) -> None:
    study = make_study(tmp_path, arms=("S1", "S2"), seeds=(0,))
    record(tmp_path, "S1run000")
    record(tmp_path, "S2run000")
    (tmp_path / "runs" / "S2run000" / "measures.npz").write_bytes(b"PK\x03\x04 half")
    with styled():
        assert "S2 seed 0" in depth.draw(StudyResults(read_study(study))).caption


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=12))
def test_the_front_is_what_nothing_beats(points: list[tuple[int, int]]) -> None:
    costs, values = [float(c) for c, _ in points], [float(v) for _, v in points]
    chosen = {points[i] for i in front(costs, values)}
    beaten = {
        (c, v) for c, v in points if any(a <= c and b >= v and (a, b) != (c, v) for a, b in points)
    }
    assert chosen == set(points) - beaten


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40), st.integers(0, 2**31))
def test_the_calibration_error_is_its_definition(sure: list[float], seed: int) -> None:
    right = np.random.default_rng(seed).random(len(sure)) < 0.5
    bins = np.minimum((np.array(sure) * BINS).astype(int), BINS - 1)
    voxels = np.bincount(bins, minlength=BINS)
    expected = sum(
        (bins == b).mean() * abs(right[bins == b].mean() - np.array(sure)[bins == b].mean())
        for b in set(bins.tolist())
    )
    got = expected_calibration_error(
        voxels,
        np.bincount(bins, weights=sure, minlength=BINS),
        np.bincount(bins[right], minlength=BINS),
    )
    assert got == pytest.approx(expected)


def test_a_profile_runs_from_the_first_to_the_last_slice() -> None:
    # Class 1 fills slices 2 to 9: one a part. Its Dice falls from 1 to 0; class 2 is nowhere.
    both = np.zeros((12, 3), np.int64)
    both[2:10, 1] = np.arange(8)[::-1]
    total = np.zeros((12, 3), np.int64)
    total[2:10, 1] = 7
    measures = Measures(
        cases=("one",),
        case=np.zeros(12, np.int32),
        slice=np.arange(12, dtype=np.int32),
        counts=np.stack([both, total, total], axis=-1),
        voxels=np.zeros((1, BINS), np.int64),
        confidence=np.zeros((1, BINS)),
        correct=np.zeros((1, BINS), np.int64),
        activation="softmax",
    )
    found = profile(measures)
    assert found.shape == (3, PARTS)
    np.testing.assert_allclose(found[1], np.arange(8)[::-1] / 7)
    assert np.isnan(found[[0, 2]]).all()


def test_of_many_arms_the_best_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = make_study(tmp_path, seeds=(0, 1), status={("S2", 1): "failed"})
    measured = read_study(study)
    means = {name: scores.mean() for name, scores in StudyResults(measured).scores("dice").items()}
    best = sorted(means, key=lambda name: -means[name])[:2]
    monkeypatch.setattr("spsam.reporting.figures.draw.MOST_ARMS", 2)
    seen: list[StudyResults] = []

    def spy(part: StudyResults) -> Drawing:
        seen.append(part)
        return classes.draw(part)

    monkeypatch.setattr("spsam.reporting.figures.draw.FIGURES", {"classes": ("Classes", spy)})
    (figure,) = draw_figures(StudyResults(measured), tmp_path / "out")
    assert figure.caption.endswith("Only the 2 arms with the highest mean Dice, of 3, are shown.")
    assert [arm.name for arm in seen[0].measured.arms] == sorted(best)
    assert set(seen[0].measured.rows["arm"].unique()) == set(best)
    # What a part scores is what it scored in the whole.
    assert all(seen[0].scores("dice")[name].mean() == means[name] for name in best)


def test_titles_that_differ_at_their_end_stay_apart(tmp_path: Path) -> None:
    alike = "SAM + MSPGenerator + vAdapter w/ Depth MLPs {} vAdapter"
    titles = {"S4": alike.format("before"), "S5": alike.format("after")}
    study = make_study(tmp_path, arms=("S4", "S5"), seeds=(0,), titles=titles)
    with styled():
        drawing = waterfall.draw(StudyResults(read_study(study)))
    ticks = [label.get_text() for label in drawing.figure.axes[0].get_yticklabels()]
    for tick, (arm, title) in zip(ticks, titles.items(), strict=True):
        assert " ".join(tick.split()) == f"{arm} {title}"


def test_one_epoch_is_seen(tmp_path: Path) -> None:
    study = make_study(tmp_path, arms=("S1",), seeds=(0,))
    line = {"epoch": 0, "loss/generator": 1.5, "loss/mask": 2.5, "seconds": 1.0}
    (tmp_path / "runs" / "S1run000" / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    with styled():
        drawing = curves.draw(StudyResults(read_study(study)))
    for axis, value in zip(drawing.figure.axes, (1.5, 2.5), strict=True):
        drawn = [found for found in axis.lines if list(found.get_ydata()) == [value]]
        assert [found.get_marker() for found in drawn] == ["o"]


def test_scores_of_validation_cases_are_an_axis_and_the_chosen_epoch_has_a_ring(
    tmp_path: Path,
) -> None:
    study = make_study(tmp_path, arms=("S1",), seeds=(0, 1))
    about = from_sealed_json((study / "ablation.json").read_bytes())
    about["arms"][0]["best"] = {"of": 3, "cases": 2}
    (study / "ablation.json").write_text(to_sealed_json(about))
    dice = {0: [0.25, 0.75, 0.5], 1: [0.25, 0.5, 0.75]}
    for seed, curve in dice.items():
        run = RunFolder(tmp_path, f"S1run00{seed}")
        lines = [
            {"epoch": e, "loss/generator": 1.0, VALIDATION_DICE: d} for e, d in enumerate(curve)
        ]
        run.metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))
        run.note(best={"epoch": curve.index(0.75), "dice": 0.75, "of": 3})
    results = StudyResults(read_study(study))
    with styled():
        drawing = curves.draw(results)
    axis = drawing.figure.axes[-1]
    assert axis.get_title() == "Dice of the validation cases, %"
    lines = [[list(x) for x in line.get_data()] for line in axis.lines if len(line.get_xdata()) > 2]
    assert lines == [[[1, 2, 3], [100 * d for d in curve]] for curve in dice.values()]
    rings = [line.get_data() for line in axis.lines if line.get_markersize() > 3]
    assert [(list(x), list(y)) for x, y in rings if len(x) == 1] == [([2], [75]), ([3], [75])]
    assert "A ring marks the epoch whose weights are evaluated." in drawing.caption
    assert "Checkpoint: best of 3 validations during training (n=2 cases)." in results.words("Dice")


@given(st.lists(st.floats(0, 100) | st.just(math.nan), max_size=20))
def test_limits_hold_the_data_and_are_no_magnifying_glass(values: list[float]) -> None:
    low, high = data_limits(values)
    known = [value for value in values if not math.isnan(value)]
    assert all(low <= value <= high for value in known)
    assert high - low >= min(5, 103 - max(known, default=0) + 2.5)
    spread = max(known) - min(known) if known else 106
    assert high - low <= 1.2 * max(spread, 5)


def test_errors_are_what_was_missed_added_and_confused() -> None:
    reference = np.array([[0, 1, 1, 2], [0, 0, 2, 2]], np.uint8)
    prediction = np.array([[0, 1, 0, 1], [2, 0, 2, 0]], np.uint8)
    panel = Panel("one", 0, 1.0, np.zeros((2, 4), np.uint8), reference, prediction)
    np.testing.assert_array_equal(error_map(panel), [[0, 0, 1, 3], [2, 0, 0, 1]])


def test_panels_show_outlines_and_errors(tmp_path: Path) -> None:
    study = make_study(tmp_path, arms=("S1", "S2"), seeds=(0,))
    for number, run in enumerate(("S1run000", "S2run000")):
        record(tmp_path, run, seed=number)
    with styled():
        figure = panels.draw(StudyResults(read_study(study))).figure
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words == ["RV", "MYO", "LV", *ERRORS]
    # Image, prompts, reference, two arms; the arms' errors below them; three cases.
    shown = [axis for axis in figure.axes if axis.images]
    assert len(shown) == 3 * (5 + 2)
    assert sum(len(axis.images) == 2 for axis in shown) == 3 * 2
