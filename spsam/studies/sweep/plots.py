"""Figures of a sweep, in the style of the reports."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spsam.reporting.figures.style import (
    BLUE,
    GREY,
    ORANGE,
    VERMILION,
    NothingToDrawError,
    facets,
    full_width,
    legend,
    new_figure,
    save,
    styled,
)
from spsam.text.escape import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

_COLUMNS = 3
_LETTERS = 14
"""Number of letters that fit below a narrow axis; longer labels are slanted."""
_DECADES = 20
"""Logarithmic axes with a smaller ratio have ticks between the powers of ten."""
_SHADES = "viridis"


def draw(
    study: Study,
    objectives: Sequence[str],
    importances: Mapping[str, Mapping[str, float]],
    folder: Path,
) -> list[Path]:
    """Draws the figures for which there are enough trials, as PDF, SVG and PNG.

    Args:
        study: The Optuna study.
        objectives: Names of the objectives, in the order of a trial's values.
        importances: Objective -> parameter -> importance; empty while there are too few trials.
        folder: The folder for the figures.

    Returns:
        The files.
    """
    from optuna.trial import TrialState

    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    names = list(objectives)
    figures: dict[str, Callable[[], Figure]] = {
        "history": lambda: _history(study, trials, names),
        "importances": lambda: _importances(importances),
        "parallel": lambda: _parallel(study, trials, names),
        "slice": lambda: _slices(trials, names),
        "pareto": lambda: _pareto(study, trials, names),
    }
    files = []
    for stem, figure in figures.items():
        try:
            with styled():
                files += save(figure(), folder, stem)
        except NothingToDrawError:
            continue
    return files


def cost_of(study: Study, index: int) -> Callable[[FrozenTrial], float]:
    """Returns a function that computes one of a trial's objectives as a cost, lower is better.

    Optuna's importances of a maximised objective would otherwise focus on its low values.
    """
    from optuna.study import StudyDirection

    sign = -1.0 if study.directions[index] == StudyDirection.MAXIMIZE else 1.0
    return lambda trial: sign * float(trial.values[index])


def _history(study: Study, trials: Sequence[FrozenTrial], names: Sequence[str]) -> Figure:
    """Draws the objectives of each trial, and the best value so far."""
    from matplotlib.ticker import MaxNLocator

    _at_least(trials, 2)
    figure, axes = facets(len(names), columns=2, height=2.6, share=False)
    numbers = [trial.number for trial in trials]
    for index, (axis, name) in enumerate(zip(axes, names, strict=True)):
        cost = cost_of(study, index)
        values = [float(trial.values[index]) for trial in trials]
        costs = np.array([cost(trial) for trial in trials])
        best = np.array(values)[[int(np.argmin(costs[: i + 1])) for i in range(len(costs))]]
        axis.plot(numbers, values, "o", color=BLUE, ms=4, label="trial")
        axis.step(numbers, best, where="post", color=VERMILION, label="best so far")
        axis.set_xlabel("trial")
        axis.set_ylabel(plain(name))
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.grid(axis="y")
    legend(figure, axes[0])
    return figure


def _importances(importances: Mapping[str, Mapping[str, float]]) -> Figure:
    """Draws a bar for each parameter, with the most important one on top."""
    found = {name: shares for name, shares in importances.items() if shares}
    if not found:
        raise NothingToDrawError("there are too few trials")
    most = max(map(len, found.values()))
    figure, axes = facets(len(found), columns=1, height=0.5 + 0.28 * most, share=False)
    for axis, (name, shares) in zip(axes, found.items(), strict=True):
        keys = sorted(shares, key=lambda key: shares[key])
        bars = axis.barh([plain(key) for key in keys], [shares[key] for key in keys], color=BLUE)
        axis.bar_label(bars, fmt="%.2f", padding=3, fontsize=8)
        axis.set_xlim(0, 1.08)
        axis.set_xlabel(f"importance for {plain(name)}")
        axis.tick_params(axis="y", length=0)
    return figure


def _slices(trials: Sequence[FrozenTrial], names: Sequence[str]) -> Figure:
    """Draws each objective against each parameter; later trials are darker."""
    from matplotlib.ticker import MaxNLocator

    _at_least(trials, 2)
    spaces = _spaces(trials)
    panels = [(index, name, key) for index, name in enumerate(names) for key in spaces]
    figure, axes = facets(len(panels), columns=_COLUMNS, height=2.3, share=False)
    last = max(trial.number for trial in trials)
    shown = None
    for axis, (index, name, key) in zip(axes, panels, strict=True):
        there = [trial for trial in trials if key in trial.params]
        values = [float(trial.values[index]) for trial in there]
        shown = axis.scatter(
            _along(axis, spaces[key], [trial.params[key] for trial in there]),
            values,
            c=[trial.number for trial in there],
            cmap=f"{_SHADES}_r",
            vmin=0,
            vmax=last,
            s=18,
        )
        axis.set_xlabel(broken(plain(key)))
        axis.set_ylabel(plain(name))
        axis.grid()
    whole = MaxNLocator(6, integer=True)
    bar = figure.colorbar(shown, ax=axes, label="trial", shrink=0.7, ticks=whole)  # type: ignore[arg-type]
    bar.outline.set_visible(False)
    return figure


def _parallel(study: Study, trials: Sequence[FrozenTrial], names: Sequence[str]) -> Figure:
    """Draws parallel coordinates of the parameters, with a bold line for the best trial."""
    _at_least(trials, 2)
    spaces = _spaces(trials)
    across = max(full_width(), 1.2 * (len(spaces) + 1))
    figure = new_figure(across, 2.9 * len(names) + 0.3)
    axes = figure.subplots(len(names), 1, squeeze=False)[:, 0]
    for index, (axis, name) in enumerate(zip(axes, names, strict=True)):
        cost = cost_of(study, index)
        best, costs = min(trials, key=cost), _Scale([cost(trial) for trial in trials])
        columns = {name: _Scale([float(trial.values[index]) for trial in trials])}
        columns |= {key: _Scale.of(space, trials, key) for key, space in spaces.items()}
        # Poor trials are pale, and good ones are drawn on top of them.
        for trial in sorted(trials, key=cost, reverse=True):
            given = {name: float(trial.values[index]), **trial.params}
            heights = [
                scale.at(given[key]) if key in given else math.nan for key, scale in columns.items()
            ]
            _draw_trial(axis, heights, None if trial is best else costs.at(cost(trial)))
        _draw_columns(axis, columns)
    legend(figure, axes[0])
    return figure


def _draw_trial(axis: Axes, heights: Sequence[float], cost: float | None) -> None:
    """Draws a trial; `cost` is None for the best one, else its share of the largest cost."""
    import matplotlib as mpl

    best = cost is None
    color = VERMILION if cost is None else mpl.colormaps[_SHADES](0.95 * cost)
    axis.plot(
        heights,
        color=color,
        lw=2.2 if best else 0.9,
        alpha=1 if best else 0.75,
        marker="o" if best else None,
        ms=4,
        label="best trial" if best else None,
    )
    # Dotted across axes of parameters that the trial lacks.
    there = [place for place, height in enumerate(heights) if not math.isnan(height)]
    axis.plot(
        there, [heights[place] for place in there], color=color, ls=":", lw=1.4 if best else 0.6
    )


def _draw_columns(axis: Axes, columns: Mapping[str, _Scale]) -> None:
    for place, scale in enumerate(columns.values()):
        axis.axvline(place, color=GREY, lw=0.7, zorder=0)
        for height, text in scale.marks():
            axis.annotate(
                plain(text),
                (place, height),
                xytext=(4, 0),
                textcoords="offset points",
                fontsize=7,
                va="center",
                bbox={"facecolor": "white", "alpha": 0.75, "lw": 0, "pad": 0.6},
            )
    axis.set_xticks(range(len(columns)), [broken(plain(key)) for key in columns])
    axis.set_xlim(-0.2, len(columns) - 0.35)
    axis.set_yticks([])
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)


def _pareto(study: Study, trials: Sequence[FrozenTrial], names: Sequence[str]) -> Figure:
    """Draws the trials for each pair of objectives, with the Pareto front."""
    if len(names) < 2:
        raise NothingToDrawError("there is one objective")
    _at_least(trials, 2)
    front = {trial.number for trial in study.best_trials}
    pairs = list(combinations(range(len(names)), 2))
    figure, axes = facets(len(pairs), columns=2, height=2.8, share=False)
    for axis, (one, other) in zip(axes, pairs, strict=True):
        for ahead, label, face in ((False, "trial", "white"), (True, "Pareto front", ORANGE)):
            points = [t.values for t in trials if (t.number in front) == ahead]
            axis.plot(
                [values[other] for values in points],
                [values[one] for values in points],
                "o",
                color=ORANGE if ahead else GREY,
                mfc=face,
                ms=5,
                label=label,
            )
        axis.set_xlabel(plain(names[other]))
        axis.set_ylabel(plain(names[one]))
        axis.grid()
    legend(figure, axes[0])
    return figure


class _Scale:
    """The positions of values on a vertical axis, from 0 at the bottom to 1 at the top.

    Args:
        values: All values that are drawn.
        log: Whether the axis is logarithmic.
        names: Whether the values are choices and not numbers.
    """

    def __init__(self, values: Sequence[Any], *, log: bool = False, names: bool = False) -> None:
        self._names = list(dict.fromkeys(map(str, values))) if names else []
        self._log = log
        numbers = [self._number(value) for value in values]
        self._low, self._high = min(numbers), max(numbers)

    @classmethod
    def of(cls, space: BaseDistribution, trials: Sequence[FrozenTrial], key: str) -> _Scale:
        """Creates the scale of a parameter."""
        values = [trial.params[key] for trial in trials if key in trial.params]
        return cls(values, log=getattr(space, "log", False), names=hasattr(space, "choices"))

    def at(self, value: Any) -> float:
        """Returns the height of a value."""
        span = self._high - self._low
        return (self._number(value) - self._low) / span if span else 0.5

    def marks(self) -> list[tuple[float, str]]:
        """Returns heights and texts of the axis's labels."""
        if self._names:
            return [(self.at(name), name) for name in self._names]
        ends = dict.fromkeys((self._low, self._high))
        return [(self._height(end), _short(10**end if self._log else end)) for end in ends]

    def _height(self, number: float) -> float:
        span = self._high - self._low
        return (number - self._low) / span if span else 0.5

    def _number(self, value: Any) -> float:
        if self._names:
            return float(self._names.index(str(value)))
        return math.log10(value) if self._log else float(value)


def _along(axis: Axes, space: BaseDistribution, values: Sequence[Any]) -> list[float]:
    """Returns the positions of values along an axis, and sets its scale and ticks accordingly."""
    from matplotlib.ticker import FixedLocator, MaxNLocator, NullFormatter

    choices = getattr(space, "choices", None)
    if choices is None:
        numbers = [float(value) for value in values]
        if getattr(space, "log", False):
            axis.set_xscale("log")
            low, high = (float(getattr(space, end)) for end in ("low", "high"))
            axis.set_xlim(low / 1.15, high * 1.15)
            axis.xaxis.set_major_locator(FixedLocator(_log_ticks(low, high)))
            axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
            axis.xaxis.set_minor_formatter(NullFormatter())
        else:
            whole = all(isinstance(value, int) for value in values)
            axis.xaxis.set_major_locator(MaxNLocator(4, integer=whole))
        return numbers
    names = [plain(str(choice)) for choice in choices]
    axis.set_xticks(range(len(names)), names)
    axis.set_xlim(-0.5, len(names) - 0.5)
    if sum(map(len, names)) > _LETTERS:
        for label in axis.get_xticklabels():
            label.set(rotation=40, ha="right", rotation_mode="anchor")
    return [float(list(choices).index(value)) for value in values]


def _spaces(trials: Sequence[FrozenTrial]) -> dict[str, BaseDistribution]:
    """Returns the distributions of all parameters by name; the last trial's take precedence."""
    found: dict[str, BaseDistribution] = {}
    for trial in trials:
        found |= trial.distributions
    return {key: found[key] for key in sorted(found)}


def _at_least(trials: Sequence[FrozenTrial], count: int) -> None:
    if len(trials) < count:
        raise NothingToDrawError(f"fewer than {count} trials are complete")


def _log_ticks(low: float, high: float) -> list[float]:
    """Returns round numbers between two ends, or the ends if there is at most one of them."""
    steps = (1, 2, 5) if high < _DECADES * low else (1,)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    # Parsed from text, since 5 * 10**-2 is not exactly 0.05.
    ticks = [float(f"{step}e{power}") for power in powers for step in steps]
    inside = [tick for tick in ticks if low <= tick <= high]
    return inside[:: -(-len(inside) // 4)] if len(inside) > 1 else [low, high]


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def broken(key: str) -> str:
    """Splits a dotted key into several lines, so that it does not overlap its neighbours."""
    return key.replace(".", ".\n")
