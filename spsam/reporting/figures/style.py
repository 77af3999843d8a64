"""How all figures look, and how they are saved."""

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

# Okabe and Ito's colours, which colour-blind readers tell apart, without the yellow, which white
# paper swallows; then grey and wine, so that nine arms have nine colours.
BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PALETTE = (BLUE, ORANGE, GREEN, VERMILION, "#CC79A7", "#56B4E9", "#000000", "#999999", "#882255")
DASHES = ("-", "--", ":")
GREY = "#8A8A8A"

WIDTH = 7.2
"""Inches: the text of a page, or two columns."""

NARROW = 3.7
"""Inches: one column, or a phone's screen, where letters keep their size."""

_narrow: ContextVar[bool] = ContextVar("narrow", default=False)

_DPI = 180
_LETTERS = 44  # Side by side in a narrow figure's legend.


class NothingToDrawError(SpsamError):
    """The study lacks what a figure shows; the message is a sentence for the reader."""


@dataclass(frozen=True)
class Drawing:
    """A figure that is not saved yet.

    Attributes:
        figure: Of matplotlib.
        caption: What a reader must know.
    """

    figure: Figure
    caption: str


@contextmanager
def styled(*, narrow: bool = False) -> Iterator[None]:
    """The style, while figures are made and saved; a user's own settings come back after.

    Args:
        narrow: Whether figures are as wide as one column or a phone.
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
    """Whether the figures that are being made are as wide as one column or a phone."""
    return _narrow.get()


def full_width() -> float:
    """Inches of a figure that takes all the place there is."""
    return NARROW if is_narrow() else WIDTH


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of a size in inches, which no window shows."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def facets(count: int, *, columns: int, height: float, share: bool) -> tuple[Figure, list[Axes]]:
    """A figure of `count` axes in rows; places that stay empty are taken out.

    Args:
        count: How many.
        columns: At most so many beside each other; one where figures are narrow.
        height: Inches a row.
        share: Whether all have the same axes.
    """
    across = 1 if is_narrow() else min(columns, count)
    rows = -(-count // across)
    figure = new_figure(full_width(), height * rows + 0.35)
    grid = figure.subplots(rows, across, squeeze=False, sharex=share, sharey=share)
    axes = list(grid.ravel())
    for axis in axes[count:]:
        axis.remove()
    # Whoever stands above an empty place is the last of its column.
    for axis in axes[max(0, count - across) : count]:
        axis.tick_params(labelbottom=True)
    return figure, axes[:count]


def row_starts(axes: Sequence[Axes], columns: int) -> Sequence[Axes]:
    """The first axes of each row of `facets`: where a row's label stands.

    Args:
        axes: All of them.
        columns: As `facets` had it.
    """
    return axes[:: 1 if is_narrow() else min(columns, len(axes))]


def data_limits(values: ArrayLike, *, least: float = 5.0) -> tuple[float, float]:
    """Ends of an axis of percent that show where values lie, never beyond what percent can be.

    Args:
        values: Percent; NaN counts for nothing.
        least: Points between the ends at least: noise is not blown up to a difference.
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
    """The colour of an arm by its place in the study."""
    return PALETTE[index % len(PALETTE)]


def dashes(index: int) -> str:
    """The line style of an arm by its place: another one where colours begin again."""
    return DASHES[index // len(PALETTE) % len(DASHES)]


def legend(figure: Figure, axis: Axes, *, columns: int = 6) -> None:
    """One legend below all axes."""
    handles, labels = axis.get_legend_handles_labels()
    if is_narrow() and labels:
        columns = max(1, int(_LETTERS / (max(map(len, labels)) + 5)))
    figure.legend(handles, labels, loc="outside lower center", ncols=min(columns, len(labels)))


def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Writes a figure as PDF, SVG and PNG."""
    # Without a date, the same study gives the same files.
    undated = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": None}
    paths = [folder / f"{name}.{ending}" for ending in undated]
    for path, metadata in zip(paths, undated.values(), strict=True):
        with atomic(path) as draft:
            figure.savefig(draft, format=path.suffix[1:], metadata=metadata, dpi=_DPI)
    return paths


def to_svg(figure: Figure) -> str:
    """A figure as the text of an SVG."""
    from io import StringIO

    text = StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None}, dpi=_DPI)
    return text.getvalue()


def listed(names: Sequence[str], most: int = 6) -> str:
    """Names in a sentence."""
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
