from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spsam.reporting.means import class_means, mean_dice
from spsam.results.rows import Row


def rows(*cases: Sequence[float]) -> list[Row]:
    """One case an argument, with its Dice of every class."""
    return [
        Row("id", 0, 0, f"case{n}", f"patient{n}", k, f"class{k}", "dice", "nnunet", value)
        for n, values in enumerate(cases)
        for k, value in enumerate(values)
    ]


def test_a_class_nobody_scores_is_left_out_of_the_mean() -> None:
    of_run = rows([1.0, 0.4, math.nan], [1.0, 0.6, math.nan])
    assert class_means(of_run, 3) == pytest.approx([0.5, math.nan], nan_ok=True)
    assert mean_dice(of_run, 3) == pytest.approx(0.5)


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
