"""Views of a slice in figures: the image, outlines of classes, prompts, errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from spsam.results.panels import Panel
from spsam.text.colours import CONFUSED, EXTRA, MISSED, class_colour

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ERRORS: Mapping[str, str] = {"missed": MISSED, "added": EXTRA, "other class": CONFUSED}
"""Kind of a wrong pixel -> its colour; kinds are numbered from 1 in this order."""

_DIMMED = 0.6


def draw_image(axis: Axes, panel: Panel, brightness: float = 1.0) -> None:
    """Draws the slice in grey.

    Args:
        axis: The axis to draw on.
        panel: The slice.
        brightness: Brightness of white; below 1, so that overlaid colours stand out.
    """
    axis.imshow(panel.image, cmap="gray", vmin=0, vmax=255 / brightness, aspect=panel.aspect)


def draw_contours(axis: Axes, panel: Panel, labels: NDArray[np.integer]) -> None:
    """Draws the slice with the outline of each class of a label map.

    Args:
        axis: The axis to draw on.
        panel: The slice, `(h, w)`.
        labels: `(h, w)` class indices.
    """
    draw_image(axis, panel)
    height, width = labels.shape
    columns, rows = np.arange(-1, width + 1), np.arange(-1, height + 1)
    for k in np.unique(labels):
        if k:
            # Padded, so that outlines are closed at the edge of the image.
            filled = np.pad(labels == k, 1).astype(float)
            axis.contour(
                columns, rows, filled, [0.5], colors=[class_colour(int(k))], linewidths=1.1
            )
    axis.set_xlim(-0.5, width - 0.5)
    axis.set_ylim(height - 0.5, -0.5)


def error_map(panel: Panel) -> NDArray[np.uint8]:
    """Classifies the errors of a prediction in a slice.

    Returns:
        `(h, w)`: 0 if prediction and reference agree, 1 for foreground predicted as background, 2
        for background predicted as foreground, 3 for a wrong foreground class.
    """
    wrong = panel.prediction != panel.reference
    missed, extra = panel.prediction == 0, panel.reference == 0
    kinds = np.where(missed, 1, np.where(extra, 2, 3))
    found: NDArray[np.uint8] = np.where(wrong, kinds, 0).astype(np.uint8)
    return found


def draw_errors(axis: Axes, panel: Panel) -> None:
    """Draws the slice, dimmed, with wrong pixels in the colour of their kind."""
    from matplotlib.colors import ListedColormap

    draw_image(axis, panel, _DIMMED)
    errors = error_map(panel)
    axis.imshow(
        np.ma.masked_where(errors == 0, errors),
        cmap=ListedColormap(list(ERRORS.values())),
        vmin=1,
        vmax=len(ERRORS),
        interpolation="nearest",
        aspect=panel.aspect,
    )


def draw_prompts(axis: Axes, panel: Panel) -> None:
    """Draws the slice with its prompts; those of the background would cover everything."""
    from matplotlib.patches import Rectangle

    height, width = panel.image.shape
    if panel.mask is None:
        draw_image(axis, panel)
    else:
        draw_contours(axis, panel, panel.mask)
    for box in panel.boxes if panel.boxes is not None else ():
        k, x1, y1, x2, y2 = box
        if k > 0:
            # Corners are pixels inside the box: the line encloses them.
            corner, size = (x1 - 0.5, y1 - 0.5), (x2 - x1 + 1, y2 - y1 + 1)
            edge = class_colour(int(k))
            axis.add_patch(Rectangle(corner, *size, fill=False, ec=edge, lw=1.2, ls="--"))
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
