"""A heat map of a whole prompt study."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from spsam.reporting.figures.style import full_width, is_narrow, new_figure
from spsam.reporting.prompts.table import labels_of
from spsam.text.escape import plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LEFT = 2.0
"""Width in inches of the row names, and of the colour bar."""
_NARROW_LEFT = 1.3
_CELL = 0.75
_NARROW_CELL = 0.42


def heat_map(wide: pd.DataFrame, title: str) -> Figure:
    """One row per prompts, point and mask, one column per source; mean Dice as number and colour.

    Args:
        wide: The result of `spsam.reporting.prompts.table.overview`.
        title: Title of the figure.
    """
    labels = labels_of(wide)
    values = wide.iloc[:, len(labels) :].to_numpy(dtype=float)
    between = "\n" if is_narrow() else "  "
    rows = []
    for prompts, *how in wide[labels].itertuples(index=False, name=None):
        told = ", ".join(part for part in how if part)
        rows.append(f"{prompts}{between}({told})" if told else str(prompts))
    columns = [str(name) for name in wide.columns[len(labels) :]]
    figure = new_figure(*_size(len(columns), len(rows), max(map(len, columns), default=0)))
    axis = figure.subplots()
    there = values[np.isfinite(values)]
    low, high = (float(there.min()), float(there.max())) if there.size else (0.0, 0.0)
    # A range of at least one point: equal cells would otherwise get an arbitrary scale.
    high = max(high, low + 1)
    shown = axis.imshow(
        np.ma.masked_invalid(values), cmap="viridis", aspect="auto", vmin=low, vmax=high
    )
    across = {"rotation": 90} if is_narrow() else {"rotation": 30, "ha": "right"}
    axis.set_xticks(range(len(columns)), columns, rotation_mode="anchor", **across)
    if is_narrow():
        for label in axis.get_xticklabels():
            label.set(ha="right", va="center")
    axis.set_yticks(range(len(rows)), rows, fontsize=7 if is_narrow() else 8)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    # White lines between cells.
    axis.set_xticks(np.arange(len(columns) - 1) + 0.5, minor=True)
    axis.set_yticks(np.arange(len(rows) - 1) + 0.5, minor=True)
    axis.grid(which="minor", color="white", linewidth=1.2)
    axis.tick_params(which="minor", length=0)
    figure.suptitle(plain(title), fontsize=9)
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            colour = "white" if value < (low + high) / 2 else "black"
            axis.text(
                column, row, f"{value:.1f}", ha="center", va="center", fontsize=7, color=colour
            )
    bar = figure.colorbar(
        shown,
        ax=axis,
        location="bottom" if is_narrow() else "right",
        shrink=0.8,
        pad=0.02,
        label="Dice, percent",
    )
    bar.outline.set_visible(False)
    return figure


def _size(columns: int, rows: int, letters: int) -> tuple[float, float]:
    """Size in inches; as wide as a narrow screen if numbers fit into their cells."""
    names = 0.06 * letters
    if is_narrow():
        width = max(full_width(), _NARROW_LEFT + _NARROW_CELL * columns)
        return width, 1.3 + names + 0.32 * rows
    width = min(full_width(), _LEFT + 1.2 + _CELL * columns)
    return max(width, _LEFT + 0.42 * columns), 0.9 + 0.6 * names + 0.26 * rows
