from __future__ import annotations

import math
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spsam.reporting.ablation_table import (
    ablation_table,
    caption,
    class_column,
    class_means,
    mean_dice,
    published_ablation,
)
from tests.reporting.examples import ARMS, CLASSES, PROVENANCE, arm, rows

FIRST, SECOND = (class_column(name) for name in CLASSES[1:])


def by_arm() -> Any:
    return ablation_table(ARMS, CLASSES).set_index("arm")


def test_means_go_over_cases_then_classes_then_seeds() -> None:
    table = by_arm()
    # Seed 0: classes 0.6 and 0.2 (the NaN does not count), mean 0.4. Seed 1: 0.8 and 0.4, mean 0.6.
    assert table.loc["S1", "dice"] == pytest.approx(50)
    assert table.loc["S1", "std"] == pytest.approx(100 * math.sqrt(0.02))
    assert table.loc["S1", FIRST] == pytest.approx(70)
    assert table.loc["S1", SECOND] == pytest.approx(30)


def test_order_state_and_holes() -> None:
    table = ablation_table(ARMS, CLASSES)
    assert list(table["arm"]) == ["S1", "S2", "S3", "mine", "late"]
    assert list(table["state"]) == ["finished", "finished", "failed", "partial", "missing"]
    assert list(table["seeds"]) == [2, 2, 0, 1, 0]
    assert list(table["dice"].isna()) == [False, False, True, False, True]
    assert math.isnan(table["std"][3])  # one seed has no spread


def test_change_is_against_the_parent_in_the_table() -> None:
    table = by_arm()
    assert math.isnan(table.loc["S1", "change"])  # its parent is not in the table
    assert table.loc["S2", "change"] == pytest.approx(35)
    assert table.loc["mine", "change"] == pytest.approx(5)
    assert math.isnan(table.loc["late", "change"])  # its parent failed


def test_published_values_are_matched_by_name() -> None:
    table = by_arm()
    assert table.loc["S1", "published"] == 79.57
    assert math.isnan(table.loc["mine", "published"])
    assert len(published_ablation()) == 9


def test_a_class_nobody_scores_is_left_out_of_the_mean() -> None:
    of_run = rows([1.0, 0.4, math.nan], [1.0, 0.6, math.nan])
    assert class_means(of_run, 3) == pytest.approx([0.5, math.nan], nan_ok=True)
    assert mean_dice(of_run, 3) == pytest.approx(0.5)
    table = ablation_table([arm("S1", None, of_run, of_run)], CLASSES)
    assert table["dice"][0] == pytest.approx(50)
    assert math.isnan(table[SECOND][0])


SCORES = st.lists(st.tuples(st.just(1.0), st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=6)


@given(cases=SCORES, order=st.randoms())
def test_order_of_cases_and_background_do_not_matter(
    cases: list[tuple[float, float, float]], order: Random
) -> None:
    of_run = rows(*cases)
    other = [replace(row, value=0.0) if row.class_id == 0 else row for row in of_run]
    order.shuffle(other)
    assert mean_dice(other, 3) == pytest.approx(mean_dice(of_run, 3))
    assert 0 <= mean_dice(of_run, 3) <= 1


def test_caption_names_everything() -> None:
    text = caption(PROVENANCE)
    for value in ("my_data", "0123abcd", "default", "4567ef", "2 cases", "n=2", "cpu", "nnunet"):
        assert value in text
    single = caption(replace(PROVENANCE, seeds=(3,), cases=1))
    assert "n=1 seed, no spread" in single
    assert "±" not in single
    assert "1 case," in single
