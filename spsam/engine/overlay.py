"""Contours of a label map on slices of its volume, for a first inspection."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spsam.data.geometry import Triple
from spsam.files import atomic
from spsam.text.classes import class_labels
from spsam.text.colours import class_colour
from spsam.text.drawn import drawn, in_legend
from spsam.text.escape import plain

_SLICES = 12
_COLUMNS = 4


@drawn()
def draw_overlay(
    path: Path,
    image: NDArray[np.floating],
    labels: NDArray[np.integer],
    *,
    spacing: Triple,
    class_names: Sequence[str],
    title: str,
) -> None:
    """Draws slices along the file's last axis, from the first to the last that contains a class.

    Args:
        path: A PNG file.
        image: `(D, H, W)` intensities.
        labels: `(D, H, W)` class indices.
        spacing: Voxel spacing (z, y, x), mm.
        class_names: Names of the classes, background first.
        title: Title of the figure.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    shown = slices_to_show(labels)
    present = [int(k) for k in np.unique(labels) if k]
    aspect = spacing[1] / spacing[2]
    height = 2.3 * image.shape[1] / image.shape[2] * aspect
    columns = min(_COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    size = (2.3 * columns, min(max(height, 0.6), 6.0) * rows + 0.9)
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    low, high = np.percentile(image[shown], (1, 99))
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in grid:
        axis.set_axis_off()
    for axis, depth in zip(grid, shown, strict=False):
        axis.imshow(image[depth], cmap="gray", vmin=low, vmax=high, aspect=aspect)
        _contours(axis, labels[depth], present)
        axis.set_title(f"slice {depth}", fontsize=8)
    figure.suptitle(plain(title), fontsize=9)
    names = class_labels(class_names)
    lines = [Line2D([], [], color=class_colour(k), label=in_legend(names[k])) for k in present]
    if lines:
        figure.legend(
            handles=lines, loc="outside lower center", ncols=min(len(lines), columns), fontsize=8
        )
    with atomic(path) as draft:
        figure.savefig(draft, dpi=120, format="png")


def slices_to_show(labels: NDArray[np.integer]) -> list[int]:
    """Selects evenly spaced slices within the foreground, or within the volume if there is none."""
    filled = np.flatnonzero(labels.any(axis=(1, 2)))
    first, last = (int(filled[0]), int(filled[-1])) if filled.size else (0, len(labels) - 1)
    count = min(_SLICES, last - first + 1)
    return sorted({int(each) for each in np.linspace(first, last, count).round()})


def _contours(axis: Any, labels: NDArray[np.integer], present: Sequence[int]) -> None:
    # Padding closes the contour of a class at the image's border.
    framed = np.pad(labels, 1)
    columns, rows = (np.arange(size) - 1 for size in framed.shape[::-1])
    for k in present:
        inside = framed == k
        if inside.any():
            axis.contour(
                columns, rows, inside, levels=[0.5], colors=[class_colour(k)], linewidths=1.1
            )
