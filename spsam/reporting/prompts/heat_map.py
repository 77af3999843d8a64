"""The whole study of prompts in one picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from spsam.files import atomic
from spsam.reporting.prompts.table import labels_of
from spsam.text.drawn import drawn
from spsam.text.escape import plain


@drawn()
def draw_heat_map(path: Path, wide: pd.DataFrame, title: str) -> None:
    """A row for prompts, point and mask, a column for each source, mean Dice as number and colour.

    Args:
        path: A PNG file.
        wide: Of `spsam.reporting.prompts.table.overview`.
        title: Above it.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    labels = labels_of(wide)
    values = wide.iloc[:, len(labels) :].to_numpy(dtype=float)
    rows = []
    for prompts, *how in wide[labels].itertuples(index=False, name=None):
        told = ", ".join(part for part in how if part)
        rows.append(f"{prompts}  ({told})" if told else str(prompts))
    columns = [str(name) for name in wide.columns[len(labels) :]]
    size = (3.2 + 0.95 * len(columns), 1.6 + 0.28 * len(rows))
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    there = values[np.isfinite(values)]
    low, high = (float(there.min()), float(there.max())) if there.size else (0.0, 0.0)
    # At least a point wide, or equal cells would get a scale of their own, below zero.
    shown = axis.imshow(
        np.ma.masked_invalid(values),
        cmap="viridis",
        aspect="auto",
        vmin=low,
        vmax=max(high, low + 1),
    )
    axis.set_xticks(range(len(columns)), columns, rotation=30, ha="right", fontsize=8)
    axis.set_yticks(range(len(rows)), rows, fontsize=8)
    figure.suptitle(plain(title), fontsize=9)
    middle = (low + max(high, low + 1)) / 2
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            colour = "white" if value < middle else "black"
            axis.text(
                column, row, f"{value:.1f}", ha="center", va="center", fontsize=7, color=colour
            )
    bar = figure.colorbar(shown, ax=axis, shrink=0.8)
    bar.set_label("Dice, percent", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    with atomic(path) as draft:
        figure.savefig(draft, dpi=120)
