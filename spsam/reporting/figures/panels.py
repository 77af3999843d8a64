"""The paper's Fig. 3: image, prompts, reference, every arm and its errors, for three cases."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spsam.reporting.chosen_cases import case_dice, chosen_cases
from spsam.reporting.figures.panel_views import (
    ERRORS,
    draw_contours,
    draw_errors,
    draw_image,
    draw_prompts,
)
from spsam.reporting.figures.recorded import recorded
from spsam.reporting.figures.style import (
    NARROW,
    Drawing,
    NothingToDrawError,
    is_narrow,
    new_figure,
)
from spsam.reporting.tables.study import StudyResults
from spsam.results.panels import Panel, read_panels
from spsam.text.colours import class_colour
from spsam.text.drawn import in_legend
from spsam.text.escape import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SIDE = 1.2  # inches

Panels = Mapping[str, Panel]


@dataclass(frozen=True)
class _View:
    """A view that is drawn for each case.

    Attributes:
        title: Title of the view.
        panels: Panels by case; cases without a panel stay empty.
        draw: Function that draws a panel.
        below: Case -> text below the panel.
        errors: Whether the view is placed below the previous view.
    """

    title: str
    panels: Panels
    draw: Callable[[Axes, Panel], None]
    below: Mapping[str, str]
    errors: bool = False


def draw(study: StudyResults) -> Drawing:
    """The best, median and worst case of the last arm: one column per arm, errors below."""
    found, _ = recorded(study, "panels.npz", read_panels, first=True)
    arms = [arm.name for arm in study.measured.arms if arm.name in found]
    panels = {arm: {panel.case: panel for panel in found[arm][0]} for arm in arms}
    dice = case_dice(study, arms)
    own = [arm.name for arm in study.measured.arms if arm.name in found and not arm.external]
    main = (own or arms)[-1]
    shown = {case: value for case, value in dice[main].items() if case in panels[main]}
    if not shown:
        raise NothingToDrawError("No run has stored a slice of a scored case.")
    cases = chosen_cases(shown)
    labels = {arm.name: arm.label.replace(" · ", "\n") for arm in study.measured.arms}
    views = _views(arms, panels, dice, labels, main)
    figure = _upright(views, cases) if is_narrow() else _across(views, cases)
    _legend(figure, study.measured.mapped_labels, [panels[main][case] for case in cases.values()])
    return Drawing(
        figure,
        f"The best, the median and the worst test case of {main}: the slice with the most "
        "foreground, cropped around it, from the first finished seed of each arm. Lines are "
        "outlines of classes. The error map of an arm shows foreground pixels that it missed, "
        "pixels that it added, and pixels with a wrong class. Below each arm: mean Dice of the "
        "whole case in percent. Prompts: those that the network generated for a patch around the "
        "organs: points (filled: inside the class; crosses: outside), boxes, and the outline of "
        "the class with the largest mask prompt.",
    )


def _views(
    arms: Sequence[str],
    panels: Mapping[str, Panels],
    dice: Mapping[str, Mapping[str, float]],
    labels: Mapping[str, str],
    main: str,
) -> list[_View]:
    # Networks without SAM have no prompts.
    asked = next((arm for arm in reversed(arms) if _asked(panels[arm].values())), None)
    views = [_View("image", panels[main], draw_image, {})]
    if asked:
        views.append(_View(f"prompts ({asked})", panels[asked], draw_prompts, {}))
    views.append(
        _View("reference", panels[main], lambda a, p: draw_contours(a, p, p.reference), {})
    )
    for arm in arms:
        words = {case: f"Dice {100 * value:.1f}" for case, value in dice[arm].items()}
        of_arm = panels[arm]
        views += [
            _View(labels[arm], of_arm, lambda a, p: draw_contours(a, p, p.prediction), words),
            _View(f"{labels[arm]} errors", of_arm, draw_errors, {}, errors=True),
        ]
    return views


def _asked(panels: Iterable[Panel]) -> bool:
    return any(
        part is not None for panel in panels for part in (panel.mask, panel.points, panel.boxes)
    )


def _across(views: Sequence[_View], cases: Mapping[str, str]) -> Figure:
    """Two rows per case: the views, and the errors of arms below them."""
    columns = [view for view in views if not view.errors]
    figure = new_figure(_SIDE * len(columns) + 0.3, 2 * _SIDE * len(cases) + 0.7)
    grid = figure.subplots(2 * len(cases), len(columns), squeeze=False)
    for row, (name, case) in enumerate(cases.items()):
        upper, lower = grid[2 * row], grid[2 * row + 1]
        place = -1
        for view in views:
            place += not view.errors
            _draw((lower if view.errors else upper)[place], view, case)
        for axis, view in zip(lower, columns, strict=True):
            if not view.below:
                axis.set_axis_off()
        upper[0].set_ylabel(f"{name}\n{one_line(case)}", fontsize=7.5)
        first = next((i for i, view in enumerate(columns) if view.below), None)
        if first is not None:
            lower[first].set_ylabel("errors", fontsize=7.5)
    for axis, view in zip(grid[0], columns, strict=True):
        axis.set_title(view.title, fontsize=8.5)
    return figure


def _upright(views: Sequence[_View], cases: Mapping[str, str]) -> Figure:
    """One column per case and one row per view."""
    side = NARROW / 3.3
    figure = new_figure(NARROW, side * len(views) + 0.7)
    grid = figure.subplots(len(views), len(cases), squeeze=False)
    for line, view in zip(grid, views, strict=True):
        for axis, case in zip(line, cases.values(), strict=True):
            _draw(axis, view, case)
        line[0].set_ylabel(view.title.replace(" (", "\n(").replace(" errors", "\nerrors"))
        line[0].yaxis.label.set_fontsize(7.5)
    for axis, (name, case) in zip(grid[0], cases.items(), strict=True):
        axis.set_title(f"{name}\n{one_line(case)}", fontsize=7.5)
    return figure


def _draw(axis: Axes, view: _View, case: str) -> None:
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set_visible(False)
    panel = view.panels.get(case)
    if panel is None:
        return
    view.draw(axis, panel)
    axis.set_xlabel(view.below.get(case, ""), fontsize=7.5)


def _legend(figure: Figure, names: Sequence[str], panels: Sequence[Panel]) -> None:
    """Adds the classes in the figure and the kinds of errors to the legend."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    seen = {int(k) for panel in panels for k in np.unique(panel.reference)}
    classes = [
        Line2D([], [], color=class_colour(k), lw=2, label=in_legend(name))
        for k, name in enumerate(names)
        if k and k in seen
    ]
    errors = [Patch(color=shade, label=word) for word, shade in ERRORS.items()]
    columns = 3 if is_narrow() else 8
    figure.legend(
        handles=[*classes, *errors],
        loc="outside lower center",
        ncols=min(columns, len(classes) + len(errors)),
    )
