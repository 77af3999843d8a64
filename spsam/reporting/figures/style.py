"""The style of all figures, and how figures are saved."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spsam.errors import SpsamError
from spsam.files import atomic
from spsam.text.drawn import drawn, settings

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike

# Okabe and Ito's colour-blind-safe palette without yellow, which is illegible on white, extended by
# grey and wine to nine colours.
BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PALETTE = (BLUE, ORANGE, GREEN, VERMILION, "#CC79A7", "#56B4E9", "#000000", "#999999", "#882255")
DASHES = ("-", "--", ":")
GREY = "#8A8A8A"

WIDTH = 7.2
"""Width in inches: the text width of a page (two columns)."""

NARROW = 3.7
"""Width in inches: one column, or a narrow screen, with the same font size."""

_narrow: ContextVar[bool] = ContextVar("narrow", default=False)

_DPI = 180
_LETTERS = 44  # Total length of labels side by side in a narrow figure's legend.


class NothingToDrawError(SpsamError):
    """Raised if a study lacks the data of a figure; the message is a sentence for the reader."""


@dataclass(frozen=True)
class Drawing:
    """An unsaved figure.

    Attributes:
        figure: The figure of matplotlib.
        caption: Information required to interpret the figure.
    """

    figure: Figure
    caption: str


@contextmanager
def styled(*, narrow: bool = False) -> Iterator[None]:
    """Applies the style within the context and restores the user's settings afterwards.

    Args:
        narrow: Whether figures have the width of one column or a narrow screen.
    """
    import matplotlib as mpl

    token = _narrow.set(narrow)
    try:
        with drawn():
            mpl.rcdefaults()
            mpl.rcParams.update(settings())
            yield
    finally:
        _narrow.reset(token)


def is_narrow() -> bool:
    """Whether the current figures have the width of one column or a narrow screen."""
    return _narrow.get()


def full_width() -> float:
    """Width in inches of a figure across the full page."""
    return NARROW if is_narrow() else WIDTH


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of the given size in inches, without a window."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def facets(count: int, *, columns: int, height: float, share: bool) -> tuple[Figure, list[Axes]]:
    """A figure with `count` axes in rows; unused positions are removed.

    Args:
        count: Number of axes.
        columns: Maximum number of axes per row; ignored for narrow figures, which have one.
        height: Height of a row in inches.
        share: Whether all axes have the same limits.
    """
    across = 1 if is_narrow() else min(columns, count)
    rows = -(-count // across)
    figure = new_figure(full_width(), height * rows + 0.35)
    grid = figure.subplots(rows, across, squeeze=False, sharex=share, sharey=share)
    axes = list(grid.ravel())
    for axis in axes[count:]:
        axis.remove()
    # The axis above an unused position is the last one of its column.
    for axis in axes[max(0, count - across) : count]:
        axis.tick_params(labelbottom=True)
    return figure, axes[:count]


def row_starts(axes: Sequence[Axes], columns: int) -> Sequence[Axes]:
    """The first axis of each row of `facets`, which has the row's label.

    Args:
        axes: All axes.
        columns: The argument passed to `facets`.
    """
    return axes[:: 1 if is_narrow() else min(columns, len(axes))]


def data_limits(values: ArrayLike, *, least: float = 5.0) -> tuple[float, float]:
    """Limits of a percentage axis that covers the values, clipped to 0…100.

    Args:
        values: Percentages; NaN is ignored.
        least: Minimum range, so that noise is not magnified.
    """
    known = np.asarray(values, float)
    known = known[~np.isnan(known)]
    if not known.size:
        return -3.0, 103.0
    low, high = float(known.min()), float(known.max())
    middle, half = (low + high) / 2, max(high - low, least) / 2
    pad = 0.08 * 2 * half
    return max(middle - half - pad, -3.0), min(middle + half + pad, 103.0)


def colour(index: int) -> str:
    """The colour of an arm, by its position in the study."""
    return PALETTE[index % len(PALETTE)]


def dashes(index: int) -> str:
    """The line style of an arm, by its position; it changes when colours repeat."""
    return DASHES[index // len(PALETTE) % len(DASHES)]


def legend(figure: Figure, axis: Axes, *, columns: int = 6) -> None:
    """Adds one legend below all axes."""
    handles, labels = axis.get_legend_handles_labels()
    if is_narrow() and labels:
        columns = max(1, int(_LETTERS / (max(map(len, labels)) + 5)))
    figure.legend(handles, labels, loc="outside lower center", ncols=min(columns, len(labels)))


def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Writes a figure as PDF, SVG and PNG."""
    # Without dates, so that the same study yields identical files.
    undated = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": None}
    paths = [folder / f"{name}.{ending}" for ending in undated]
    for path, metadata in zip(paths, undated.values(), strict=True):
        with atomic(path) as draft:
            figure.savefig(draft, format=path.suffix[1:], metadata=metadata, dpi=_DPI)
    return paths


def to_svg(figure: Figure) -> str:
    """A figure as SVG text."""
    from io import StringIO

    text = StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None}, dpi=_DPI)
    return text.getvalue()


def listed(names: Sequence[str], most: int = 6) -> str:
    """Joins names for a sentence, abbreviating long lists."""
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
