"""The paper's Fig. 3: image, prompts, reference and every arm, for three cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from spsam.reporting.chosen_cases import case_dice, chosen_cases
from spsam.reporting.figures.recorded import recorded
from spsam.reporting.figures.style import Drawing, NothingToDrawError, new_figure
from spsam.reporting.tables.study import StudyResults
from spsam.results.panels import Panel, read_panels
from spsam.text.colours import class_colour, class_colours
from spsam.text.drawn import in_legend
from spsam.text.escape import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SIDE = 1.2  # inches


def draw(study: StudyResults) -> Drawing:
    """A row for the best, the median and the worst case of the last arm, a column an arm."""
    found, _ = recorded(study, "panels.npz", read_panels, first=True)
    arms = [arm.name for arm in study.measured.arms if arm.name in found]
    panels = {arm: {panel.case: panel for panel in found[arm][0]} for arm in arms}
    dice = case_dice(study, arms)
    shown = {case: value for case, value in dice[arms[-1]].items() if case in panels[arms[-1]]}
    if not shown:
        raise NothingToDrawError("The runs have kept no picture of a case that has a score.")
    rows = chosen_cases(shown)
    # A plain network takes no prompts.
    asked = next((arm for arm in reversed(arms) if any(map(_has_prompts, found[arm][0]))), None)
    columns = ["image", *([f"prompts ({asked})"] if asked else []), "reference", *arms]
    height = _SIDE * len(rows) + 0.7
    figure = new_figure(_SIDE * len(columns) + 0.3, height)
    grid = figure.subplots(len(rows), len(columns), squeeze=False)
    for line, (name, case) in zip(grid, rows.items(), strict=True):
        last = panels[arms[-1]][case]
        line[0].set_ylabel(f"{name}\n{one_line(case)}", fontsize=7.5)
        _show(line[0], last, None)
        if asked and case in panels[asked]:
            _show(line[1], last, panels[asked][case].mask, alpha=0.3)
            _prompts(line[1], panels[asked][case])
        _show(line[-len(arms) - 1], last, last.reference)
        for axis, arm in zip(line[-len(arms) :], arms, strict=True):
            panel = panels[arm].get(case)
            if panel is None:
                axis.remove()
                continue
            _show(axis, panel, panel.prediction)
            axis.set_xlabel(f"Dice {100 * dice[arm].get(case, np.nan):.1f}", fontsize=7.5)
    labels = {arm.name: arm.label.replace(" · ", "\n") for arm in study.measured.arms}
    for axis, title in zip(grid[0], [labels.get(name, name) for name in columns], strict=True):
        axis.set_title(title, fontsize=8.5)
    _legend(figure, study.measured.class_labels, list(rows.values()), panels[arms[-1]])
    return Drawing(
        figure,
        f"The best, the median and the worst test case of {arms[-1]}: the slice with the most "
        "foreground, cropped around it; each arm's first finished seed. Below an arm: mean Dice "
        "of the whole case, percent. Prompts are those that the network made of a patch around "
        "the organs and gave to SAM: points (filled: in the class; crosses: outside it), boxes, "
        "and in colour the class whose mask prompt is the largest.",
    )


def _has_prompts(panel: Panel) -> bool:
    return any(part is not None for part in (panel.mask, panel.points, panel.boxes))


def _show(
    axis: Axes, panel: Panel, labels: NDArray[np.integer] | None, *, alpha: float = 0.55
) -> None:
    from matplotlib.colors import ListedColormap

    axis.imshow(panel.image, cmap="gray", vmin=0, vmax=255, aspect=panel.aspect)
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set_visible(False)
    if labels is not None:
        most = max(2, int(labels.max()))
        axis.imshow(
            np.ma.masked_where(labels == 0, labels),
            cmap=ListedColormap(class_colours(most + 1)),
            vmin=1,
            vmax=most,
            alpha=alpha,
            interpolation="nearest",
            aspect=panel.aspect,
        )


def _prompts(axis: Axes, panel: Panel) -> None:
    """Foreground's points and boxes; those of the background would cover everything."""
    from matplotlib.patches import Rectangle

    height, width = panel.image.shape
    for box in panel.boxes if panel.boxes is not None else ():
        k, x1, y1, x2, y2 = box
        if k > 0:
            # Corners are pixels inside: the line runs around them.
            axis.add_patch(
                Rectangle(
                    (x1 - 0.5, y1 - 0.5),
                    x2 - x1 + 1,
                    y2 - y1 + 1,
                    fill=False,
                    ec=class_colour(int(k)),
                    lw=1.2,
                )
            )
    for k, x, y, inside in panel.points if panel.points is not None else ():
        if k > 0:
            axis.plot(
                x,
                y,
                "o" if inside else "X",
                ms=4.5,
                mfc=class_colour(int(k)),
                mec="white" if inside else "black",
                mew=0.8,
            )
    axis.set_xlim(-0.5, width - 0.5)
    axis.set_ylim(height - 0.5, -0.5)


def _legend(
    figure: object, names: Sequence[str], cases: Sequence[str], panels: Mapping[str, Panel]
) -> None:
    """The classes that the rows show."""
    from matplotlib.patches import Patch

    seen = {int(k) for case in cases for k in np.unique(panels[case].reference)}
    handles = [
        Patch(color=class_colour(int(k)), label=in_legend(name))
        for k, name in enumerate(names)
        if k and k in seen
    ]
    if handles:
        figure.legend(  # type: ignore[attr-defined]
            handles=handles, loc="outside lower center", ncols=min(8, len(handles))
        )
