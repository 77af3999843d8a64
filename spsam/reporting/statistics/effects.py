"""Main effects and two-way interactions of a factorial study.

Least squares on effect-coded factors (the levels of a factor sum to zero), over the cell means. In
a complete design, estimates are differences of marginal means. If cells are nested (a component's
parameter exists only with the component), the columns of a factor are zero in cells without it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from spsam.reporting.statistics.bootstrap import bootstrap_interval, resampling_weights
from spsam.reporting.statistics.paired import holm, permutation_p
from spsam.reporting.statistics.scores import Scores, nan_mean

Array = NDArray[np.float64]
Levels = Mapping[str, str]


@dataclass(frozen=True)
class Contrast:
    """A quantity that a design estimates.

    A main effect is the marginal mean of a level minus that of the reference level. An interaction
    is the change of this difference between a level of the other factor and its reference: 0 if the
    effects add up.

    Attributes:
        factors: One for a main effect, two for an interaction.
        levels: One per factor.
        references: The first level of each factor.
        weights: `(C,)` weights of the cell means.
    """

    factors: tuple[str, ...]
    levels: tuple[str, ...]
    references: tuple[str, ...]
    weights: Array


@dataclass(frozen=True)
class Effect:
    """An estimated contrast.

    Attributes:
        contrast: The contrast.
        value: The estimate.
        low: Lower end of its 95% confidence interval, with patients resampled jointly in all cells.
        high: Upper end of the interval.
        p: Two-sided p of the sign-flip test over patients; NaN with a single seed, whose difference
            may be due to chance.
        corrected: `p` after Holm correction over all effects.
    """

    contrast: Contrast
    value: float
    low: float
    high: float
    p: float
    corrected: float = math.nan


def contrasts(cells: Sequence[Levels], design: Sequence[Levels] | None = None) -> list[Contrast]:
    """All main effects and two-way interactions, if the cells identify them.

    Args:
        cells: The levels of each cell, without factors that do not exist in it.
        design: All cells of the design, which determine the order of levels: the first is the
            reference. None: `cells`.

    Returns:
        Main effects first; empty if the cells do not identify all of them.
    """
    design = cells if design is None else design
    factors = list(dict.fromkeys(factor for cell in design for factor in cell))
    there = {(factor, level) for cell in cells for factor, level in cell.items()}
    planned = {f: list(dict.fromkeys(c[f] for c in design if f in c)) for f in factors}
    levels = {f: [level for level in planned[f] if (f, level) in there] for f in factors}
    if not all(levels.values()):
        return []
    pairs = [
        (one, other)
        for one, other in itertools.combinations(factors, 2)
        if _crossed(design, one, other, planned)
    ]
    terms: list[tuple[str, ...]] = [*((factor,) for factor in factors), *pairs]
    codes = {f: np.stack([_code(cell.get(f), levels[f]) for cell in cells]) for f in factors}
    blocks = [np.ones((len(cells), 1)), *[_columns(term, codes) for term in terms]]
    columns = np.concatenate(blocks, axis=1)
    if np.linalg.matrix_rank(columns) < columns.shape[1]:
        return []
    solve = np.linalg.pinv(columns)
    found, start = [], 1
    for term, block in zip(terms, blocks[1:], strict=True):
        rows = solve[start : start + block.shape[1]]
        start += block.shape[1]
        for others in itertools.product(*[levels[factor][1:] for factor in term]):
            steps = [
                _code(level, levels[factor]) - _code(levels[factor][0], levels[factor])
                for factor, level in zip(term, others, strict=True)
            ]
            step = steps[0] if len(steps) == 1 else np.outer(*steps).ravel()
            references = tuple(levels[factor][0] for factor in term)
            found.append(Contrast(term, others, references, step @ rows))
    return found


def effects(scores: Sequence[Scores], cells: Sequence[Levels]) -> list[Effect]:
    """Estimates contrasts, with confidence intervals and tests over patients.

    Args:
        scores: Scores of each cell, over the same patients; S = 0 without a finished run.
        cells: Levels of each cell, in the order of the design.

    Returns:
        One effect per contrast of the whole design; NaN if the finished cells do not identify it.
    """
    there = [number for number, one in enumerate(scores) if len(one.seeds)]
    known = _estimated([scores[i] for i in there], contrasts([cells[i] for i in there], cells))
    by_name = {(e.contrast.factors, e.contrast.levels, e.contrast.references): e for e in known}
    nan = math.nan
    return [
        by_name.get((c.factors, c.levels, c.references), Effect(c, nan, nan, nan, nan))
        for c in contrasts(cells)
    ]


def _estimated(scores: Sequence[Scores], found: Sequence[Contrast]) -> list[Effect]:
    if not found:
        return []
    lines = np.stack([contrast.weights for contrast in found])  # (T, C)
    patients = np.stack([nan_mean(one.patient_classes(), -1) for one in scores], -1)  # (P, C)
    whole = patients[~np.isnan(patients).any(-1)]
    tested = min(len(one.seeds) for one in scores) > 1
    values = lines @ np.array([float(one.mean()) for one in scores])
    weights = resampling_weights(len(patients))
    means = _Means(scores)
    estimated = []
    for contrast, value, of_patients in zip(found, values, lines @ whole.T, strict=True):
        low, high = bootstrap_interval(partial(means.contrast, contrast.weights), weights)
        p = permutation_p(of_patients) if tested else math.nan
        estimated.append(Effect(contrast, float(value), low, high, p))
    corrected = holm(np.array([effect.p for effect in estimated], float))
    return [replace(e, corrected=float(p)) for e, p in zip(estimated, corrected, strict=True)]


class _Means:
    """Cell means under weights, cached for all contrasts."""

    def __init__(self, scores: Sequence[Scores]) -> None:
        self._scores = scores
        # The weights are kept, so that no other array reuses their id.
        self._known: dict[int, tuple[Array, Array]] = {}

    def contrast(self, line: Array, weights: Array) -> Array:
        if id(weights) not in self._known:
            means = np.stack([one.mean(weights) for one in self._scores], -1)
            self._known[id(weights)] = weights, means
        found: Array = self._known[id(weights)][1] @ line
        return found


def _code(level: str | None, levels: Sequence[str]) -> Array:
    """Effect coding: the first level is −1 in all columns, each other has its own column."""
    width = len(levels) - 1
    if level is None:
        return np.zeros(width)
    number = levels.index(level)
    return np.full(width, -1.0) if number == 0 else np.eye(width)[number - 1]


def _columns(term: tuple[str, ...], codes: Mapping[str, Array]) -> Array:
    if len(term) == 1:
        return codes[term[0]]
    one, other = codes[term[0]], codes[term[1]]
    columns: Array = (one[:, :, None] * other[:, None, :]).reshape(len(one), -1)
    return columns


def _crossed(
    cells: Sequence[Levels], one: str, other: str, levels: Mapping[str, Sequence[str]]
) -> bool:
    """Whether all combinations of the levels of two factors occur."""
    seen = {(cell[one], cell[other]) for cell in cells if one in cell and other in cell}
    return len(seen) == len(levels[one]) * len(levels[other])
