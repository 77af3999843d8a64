from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from spsam.reporting.figures import interactions
from spsam.reporting.figures.style import styled
from spsam.reporting.records.verify import verify_record
from spsam.reporting.records.write import write_record
from spsam.reporting.report import write_report
from spsam.reporting.study_reader import read_study
from spsam.reporting.tables.ablation import ablation_table
from spsam.reporting.tables.effects import effects_table
from spsam.reporting.tables.study import StudyResults
from tests.reporting.store import make_study

CELLS = list(itertools.product(("none", "dfused"), ("argmax", "mc_adapter")))
# Adapter 0.1, head 0.04, and 0.02 more where both are.
MEANS = (0.5, 0.54, 0.6, 0.66)


def factorial(home: Path, status: dict[tuple[str, int], str] | None = None) -> Path:
    """Two factors, three seeds, effects that are known."""

    def value(arm: int, seed: int, case: int, k: int) -> float:
        shake = np.random.default_rng([arm, seed, case, k]).normal(0, 1e-4)
        return MEANS[arm] + 0.01 * case + float(shake)

    names = [f"adapter={one},head={other}" for one, other in CELLS]
    folder = make_study(home, names, value=value, cases=12, status=status)
    about = json.loads((folder / "ablation.json").read_text())
    for arm, (one, other) in zip(about["arms"], CELLS, strict=True):
        arm["levels"] = {"adapter": one, "head": other}
    about["study"] = {"title": "A", "shape": "factorial"}
    (folder / "ablation.json").write_text(json.dumps(about))
    return folder


def test_known_effects_come_out(tmp_path: Path) -> None:
    table = effects_table(StudyResults(read_study(factorial(tmp_path))))
    assert table is not None
    frame = table.frame()
    assert list(frame["kind"]) == ["main effect", "main effect", "interaction"]
    assert list(frame["factor"]) == ["adapter", "head", "adapter × head"]
    assert frame["effect"].to_numpy() == pytest.approx([11.0, 5.0, 2.0], abs=0.02)
    assert (frame["low"] <= frame["effect"]).all()
    assert (frame["effect"] <= frame["high"]).all()
    # Six patients: the smallest p that flipped signs can give.
    assert frame["p"].to_numpy() == pytest.approx(2 / 2**6)
    assert table.lines[0].cells[0].text == "adapter"


def test_a_report_has_it_in_all_formats_and_a_record_keeps_it(tmp_path: Path) -> None:
    folder = factorial(tmp_path)
    report = write_report(folder, formats=("markdown", "csv", "latex", "html"), pdf=False)
    for ending in ("md", "csv", "tex", "html"):
        assert (report.folder / f"effects.{ending}").is_file()
    page = (report.folder / "index.html").read_text()
    assert "adapter × head" in page
    record = write_record(folder, tmp_path / "record")
    assert (record / "tables" / "effects.csv").is_file()
    assert verify_record(record) == []


def test_what_is_not_finished_is_a_hole(tmp_path: Path) -> None:
    status = dict.fromkeys(
        [("adapter=dfused,head=mc_adapter", seed) for seed in range(3)], "failed"
    )
    table = effects_table(StudyResults(read_study(factorial(tmp_path, status))))
    assert table is not None
    assert table.frame()["effect"].isna().all()


def test_other_studies_have_none(tmp_path: Path) -> None:
    assert effects_table(StudyResults(read_study(make_study(tmp_path)))) is None


def test_a_seed_without_one_of_its_folds_does_not_count(tmp_path: Path) -> None:
    status = {("S2", 1): "failed"}
    folder = make_study(tmp_path, ("S1", "S2"), seeds=(0, 1), status=status)
    # As if the two seeds were two folds of one seed.
    about = json.loads((folder / "ablation.json").read_text())
    about["seeds"] = [0]
    about["folds"] = [{"fold": n, "split_hash": f"hash{n}"} for n in (0, 1)]
    (folder / "ablation.json").write_text(json.dumps(about))
    for file in (tmp_path / "runs").glob("*/rows.jsonl"):
        text = file.read_text().replace('"seed": 1', '"seed": 0').replace('"seed":1', '"seed":0')
        file.write_text(text)
    study = StudyResults(read_study(folder))
    assert study.scores("dice")["S1"].seeds == [0]
    assert study.scores("dice")["S2"].seeds == []
    assert "folds 0, 1, hash hash0, hash1" in study.words("Dice")
    assert list(study.measured.runs["fold"]) == [0, 1, 0, 1]


def test_cells_have_a_column_a_factor(tmp_path: Path) -> None:
    table = ablation_table(StudyResults(read_study(factorial(tmp_path))))
    assert [column.head for column in table.columns[:3]] == ["adapter", "head", "Dice"]
    assert [tuple(cell.text for cell in line.cells[:2]) for line in table.lines] == CELLS
    # Its name stays where a program looks for it.
    frame = table.frame()
    assert frame["arm"].tolist() == [line.key for line in table.lines]
    assert list(zip(frame["adapter"], frame["head"], strict=True)) == CELLS
    assert frame["title"].str.startswith("title of").all()
    change = table.lines[1].cells[table.column("change")].text
    assert change.endswith("(none · argmax)")


def test_the_interaction_plot_shows_the_marginal_means(tmp_path: Path) -> None:
    study = StudyResults(read_study(factorial(tmp_path)))
    with styled():
        figure = interactions.draw(study).figure
    (axis,) = figure.axes
    assert [label.get_text() for label in axis.get_xticklabels()] == ["none", "dfused"]
    lines = [line for line in axis.lines if line.get_marker() == "o"]
    means = {name: 100 * float(score.mean()) for name, score in study.scores("dice").items()}
    for line, head in zip(lines, ("argmax", "mc_adapter"), strict=True):
        expected = [means[f"adapter={one},head={head}"] for one in ("none", "dfused")]
        assert list(line.get_ydata()) == pytest.approx(expected)


def test_a_pair_that_has_not_met_is_no_interaction(tmp_path: Path) -> None:
    missing = dict.fromkeys([("adapter=none,head=argmax", seed) for seed in range(3)], "missing")
    study = StudyResults(read_study(factorial(tmp_path, missing)))
    assert interactions.pairs_of(study) == []
    other = StudyResults(read_study(make_study(tmp_path / "other")))
    assert interactions.pairs_of(other) == []
