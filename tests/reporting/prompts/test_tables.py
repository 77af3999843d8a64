from __future__ import annotations

import numpy as np
import pytest

from spsam.reporting.figures.style import NARROW, WIDTH, styled
from spsam.reporting.prompts import attribution, neighbours
from spsam.reporting.prompts.attribution import attribution_table
from spsam.reporting.prompts.heat_map import heat_map
from spsam.reporting.prompts.neighbours import neighbours_table
from spsam.reporting.prompts.table import (
    CellResult,
    cells_table,
    overview,
    overview_table,
    prompt_table,
)
from spsam.reporting.render.latex import to_latex
from spsam.reporting.render.markdown import to_markdown
from spsam.results.rows import Row

NAMES = ("background", "left", "right")


def rows(*values: float, metric: str = "mask") -> list[Row]:
    """Two classes in one case."""
    return [
        Row("key", 0, 0, "a", "a", k, NAMES[k], metric, "slices", value)
        for k, value in enumerate(values, start=1)
    ]


def results() -> list[CellResult]:
    return [
        CellResult("point", "edt", "ground_truth", None, [rows(0.2, 0.4)]),
        CellResult("point", "random", "ground_truth", None, [rows(0.1, 0.1), rows(0.3, 0.3)]),
        CellResult("box", None, "ground_truth", None, [rows(0.5, 0.7)]),
        CellResult("box", None, "disturbed", "jitter", [rows(0.4, np.nan)]),
    ]


def test_means_over_classes_then_seeds() -> None:
    table = prompt_table(results(), NAMES, "mask")
    assert table["dice"].tolist() == pytest.approx([30, 20, 60, 40])
    assert table["std"][1] == pytest.approx(100 * np.std([0.1, 0.3], ddof=1))
    assert np.isnan(table["std"][0])
    assert table["dice: right"][3] != table["dice: right"][3]
    text = to_markdown(cells_table(table, "below"))
    assert "20.00 ± 14.14" in text
    assert "jitter" in text
    assert r"\toprule" in to_latex(cells_table(table, "below"))


def test_the_overview_has_a_column_a_source_and_holes_where_there_is_no_cell() -> None:
    wide = overview(prompt_table(results(), NAMES, "mask"))
    assert list(wide.columns) == ["prompts", "point", "ground truth", "jitter"]
    assert wide["prompts"].tolist() == ["point", "point", "box"]
    assert wide["ground truth"].tolist() == pytest.approx([30, 20, 60])
    assert np.isnan(wide["jitter"][0])
    assert wide["jitter"][2] == pytest.approx(40)
    assert "| point | edt | <u>30.00</u> | — |" in to_markdown(overview_table(wide, ""))


def test_other_metrics_do_not_count() -> None:
    mixed = [CellResult("box", None, "auxiliary", None, [rows(0.5, 0.5) + rows(1, 1, metric="x")])]
    assert prompt_table(mixed, NAMES, "mask")["dice"][0] == pytest.approx(50)


def test_what_is_lost_adds_up() -> None:
    quality = [
        row for name in ("auxiliary", "box_iou", "inside") for row in rows(0.5, 1, metric=name)
    ]
    quality += rows(4.0, np.nan, metric="distance")
    table = attribution_table(
        quality, rows(0.3, 0.6, metric="labels"), rows(0.8, 0.5, metric="labels"), NAMES
    )
    assert table["class"].tolist() == ["left", "right", "mean"]
    total = table["own"] + table["prompt_error"] + table["decoder_error"]
    assert total.tolist() == pytest.approx([100, 100, 100])
    assert table["prompt_error"].tolist() == pytest.approx([50, -10, 20])
    assert table["distance"][0] == 4
    assert table["distance"][2] == 4
    assert "—" in to_markdown(attribution.to_table(table, ""))


def test_neighbours_are_means_over_cases() -> None:
    table = neighbours_table(
        {"reference": [np.array([1, 0.5, np.nan]), np.array([1, 0.7, 0.2])]}, NAMES
    )
    assert table["dice: left"][0] == pytest.approx(60)
    assert table["dice"][0] == pytest.approx(40)
    assert "60.00" in to_markdown(neighbours.to_table(table, ""))


@pytest.mark.parametrize("narrow", [False, True])
def test_the_heat_map_shows_every_cell_inside_its_width(narrow: bool) -> None:
    wide = overview(prompt_table(results(), NAMES, "mask"))
    with styled(narrow=narrow):
        figure = heat_map(wide, "Dice")
        figure.draw_without_rendering()
        axis = figure.axes[0]
        assert {text.get_text() for text in axis.texts} == {"30.0", "20.0", "60.0", "40.0"}
        assert figure.get_figwidth() <= (NARROW if narrow else WIDTH)
        for label in [*axis.texts, *axis.get_xticklabels(), *axis.get_yticklabels()]:
            assert figure.bbox.padded(1).containsx(label.get_window_extent().x0)
            assert figure.bbox.padded(1).containsx(label.get_window_extent().x1)
