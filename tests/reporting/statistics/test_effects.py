from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spsam.reporting.statistics.effects import Contrast, contrasts, effects
from spsam.reporting.statistics.scores import Scores

Cells = list[dict[str, str]]


def product(*sizes: int) -> Cells:
    """All cells of factors f0, f1, …, with levels a, b, c, …"""
    names = [f"f{n}" for n in range(len(sizes))]
    levels = ["abcd"[:size] for size in sizes]
    return [dict(zip(names, cell, strict=True)) for cell in itertools.product(*levels)]


def values(found: Sequence[Contrast], means: np.ndarray) -> dict[tuple[str, ...], float]:
    return {(*c.factors, *c.levels): float(c.weights @ means) for c in found}


designs = st.lists(st.integers(2, 4), min_size=1, max_size=3)


@settings(max_examples=30, deadline=None)
@given(sizes=designs, seed=st.integers(0, 99))
def test_additive_effects_are_recovered_and_nothing_interacts(sizes: list[int], seed: int) -> None:
    cells, random = product(*sizes), np.random.default_rng(seed)
    true = {
        (f"f{n}", level): random.normal() for n, size in enumerate(sizes) for level in "abcd"[:size]
    }
    means = np.array([sum(true[entry] for entry in cell.items()) for cell in cells])
    for names, value in values(contrasts(cells), means).items():
        if len(names) == 2:
            wanted = true[names[0], names[1]] - true[names[0], "a"]
            assert value == pytest.approx(wanted, abs=1e-9)
        else:
            assert value == pytest.approx(0, abs=1e-9)


@settings(max_examples=20, deadline=None)
@given(sizes=st.lists(st.integers(2, 3), min_size=2, max_size=3), seed=st.integers(0, 99))
def test_effects_are_differences_of_marginal_means(sizes: list[int], seed: int) -> None:
    cells = product(*sizes)
    means = np.random.default_rng(seed).normal(size=len(cells))
    table = pd.DataFrame(cells).assign(mean=means)
    for names, value in values(contrasts(cells), means).items():
        half = len(names) // 2
        marginal = table.groupby(list(names[:half]))["mean"].mean()
        if half == 1:
            wanted = marginal[names[1]] - marginal["a"]
        else:
            one, other = names[2:]
            wanted = marginal[one, other] - marginal["a", other]
            wanted -= marginal[one, "a"] - marginal["a", "a"]
        assert value == pytest.approx(wanted, abs=1e-9)


def test_least_squares_are_those_of_statsmodels() -> None:
    """Unbalanced: cells are missing, so that marginal means are not enough."""
    from statsmodels.formula.api import ols

    cells = [cell for cell in product(3, 2, 2) if cell != {"f0": "c", "f1": "b", "f2": "b"}]
    means = np.random.default_rng(0).normal(size=len(cells))
    table = pd.DataFrame(cells).assign(mean=means)
    fit = ols("mean ~ (C(f0, Sum) + C(f1, Sum) + C(f2, Sum))**2", data=table).fit()
    found = values(contrasts(cells), means)
    a = fit.params["C(f1, Sum)[S.a]"]
    assert found["f1", "b"] == pytest.approx(-2 * a)
    crossed = fit.params["C(f1, Sum)[S.a]:C(f2, Sum)[S.a]"]
    assert found["f1", "f2", "b", "b"] == pytest.approx(4 * crossed)


def test_a_nested_factor_is_compared_where_it_exists() -> None:
    cells: Cells = [
        {"adapter": "none"},
        {"adapter": "dfused", "ratio": "0.25"},
        {"adapter": "dfused", "ratio": "0.5"},
    ]
    found = values(contrasts(cells), np.array([1.0, 5.0, 7.0]))
    assert found == pytest.approx({("adapter", "dfused"): 5.0, ("ratio", "0.5"): 2.0})


def scores(mean: float, seeds: int = 2, patients: int = 8) -> Scores:
    """A cell: its mean, patients that differ alike in all cells, and a little noise."""
    shift = np.linspace(-0.1, 0.1, patients)[:, None, None]
    noise = np.random.default_rng(int(1e6 * mean)).normal(0, 1e-3, (patients, seeds, 2))
    whole = np.ones((patients, seeds, 2))
    return Scores(whole * mean + shift + noise, whole, list(range(seeds)))


def test_patients_are_drawn_alike_in_all_cells() -> None:
    cells = product(2, 2)
    found = effects([scores(m) for m in (0.5, 0.6, 0.7, 0.8)], cells)
    first, second, both = found
    assert (first.value, second.value) == pytest.approx((0.2, 0.1), abs=2e-3)
    # The spread between patients, 0.2, is not in the intervals.
    assert all(effect.high - effect.low < 5e-3 for effect in found)
    assert all(effect.low <= effect.value <= effect.high for effect in found)
    assert both.low < 0 < both.high or abs(both.value) < 2e-3
    assert first.p == pytest.approx(2 / 2**8)
    assert first.corrected >= first.p


def test_a_single_seed_is_not_tested() -> None:
    found = effects([scores(m, seeds=1) for m in (0.5, 0.6, 0.7, 0.8)], product(2, 2))
    assert all(np.isnan(effect.p) and not np.isnan(effect.value) for effect in found)


def test_a_missing_cell_is_a_hole() -> None:
    cells = product(2, 2)
    parts = [scores(m) for m in (0.5, 0.6, 0.7)]
    empty = Scores(np.zeros((8, 0, 2)), np.zeros((8, 0, 2)), [])
    found = effects([*parts, empty], cells)
    assert [effect.contrast.factors for effect in found] == [("f0",), ("f1",), ("f0", "f1")]
    assert all(np.isnan(effect.value) for effect in found)
