"""Figure of a run's predictions: image, reference and prediction side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spsam.files import atomic
from spsam.text.classes import class_labels
from spsam.text.colours import class_colour, class_colours
from spsam.text.drawn import drawn, in_legend
from spsam.text.escape import plain


@dataclass(frozen=True)
class Example:
    """One case of the figure.

    Attributes:
        title: Text to the left of its row.
        image: `(D, H, W)` intensities of the first channel.
        reference: `(D, H, W)` label map.
        prediction: `(D, H, W)` label map.
        aspect: Height over width of a pixel, from the spacing.
    """

    title: str
    image: NDArray[np.float32]
    reference: NDArray[np.integer]
    prediction: NDArray[np.integer]
    aspect: float = 1.0


def choose(scores: Sequence[float]) -> list[tuple[str, int]]:
    """Selects the best, the median and the worst case, each at most once.

    Args:
        scores: Mean Dice of every case; NaN counts as the worst.

    Returns:
        (name, index) of each selected case.
    """
    order = sorted(range(len(scores)), key=lambda i: np.nan_to_num(scores[i], nan=-1.0))
    places = {"best": order[-1], "median": order[len(order) // 2], "worst": order[0]}
    chosen: list[tuple[str, int]] = []
    for name, index in places.items():
        if index not in [other for _, other in chosen]:
            chosen.append((name, index))
    return chosen


@drawn()
def draw_preview(path: Path, examples: Sequence[Example], class_names: Sequence[str]) -> None:
    """Draws one row per case: image, reference and prediction at two depths.

    Args:
        path: A PNG file.
        examples: The cases, top to bottom.
        class_names: Names of the classes, background first.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    columns = 6
    figure = Figure(figsize=(2.1 * columns, 2.2 * len(examples) + 0.6), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(examples), columns, squeeze=False)
    for row, example in zip(grid, examples, strict=True):
        row[0].set_ylabel(plain(example.title), fontsize=8)
        for offset, depth in zip((0, 3), _two_depths(example.reference), strict=True):
            maps = (None, example.reference[depth], example.prediction[depth])
            names = (f"slice {depth}", "reference", "prediction")
            for axis, labels, name in zip(row[offset : offset + 3], maps, names, strict=True):
                draw_slice(axis, example.image[depth], labels, example.aspect)
                axis.set_title(name, fontsize=8)
    figure.legend(
        handles=[
            Patch(color=class_colour(k), label=in_legend(name))
            for k, name in enumerate(class_labels(class_names))
            if k
        ],
        loc="outside lower center",
        ncols=min(len(class_names) - 1, 8),
        fontsize=8,
    )
    with atomic(path) as draft:
        figure.savefig(draft, dpi=110)


def draw_slice(
    axis: object, image: NDArray[np.float32], labels: NDArray[np.integer] | None, aspect: float
) -> None:
    """Draws an image with a coloured label map on top.

    Args:
        axis: Axes of matplotlib.
        image: `(H, W)`.
        labels: `(H, W)`; None for the image alone.
        aspect: Height over width of a pixel.
    """
    from matplotlib.colors import ListedColormap

    low, high = np.percentile(image, (1, 99))
    axis.imshow(image, cmap="gray", vmin=low, vmax=high, aspect=aspect)  # type: ignore[attr-defined]
    axis.set_xticks([])  # type: ignore[attr-defined]
    axis.set_yticks([])  # type: ignore[attr-defined]
    if labels is not None:
        most = max(2, int(labels.max()))
        axis.imshow(  # type: ignore[attr-defined]
            np.ma.masked_where(labels == 0, labels),
            cmap=ListedColormap(class_colours(most + 1)),
            vmin=1,
            vmax=most,
            alpha=0.55,
            interpolation="nearest",
            aspect=aspect,
        )


def _two_depths(reference: NDArray[np.integer]) -> tuple[int, int]:
    """Selects slices at 1/3 and 2/3 of the foreground, or of the volume if it has no foreground."""
    filled = np.flatnonzero(reference.any(axis=(1, 2)))
    first, last = (filled[0], filled[-1]) if filled.size else (0, len(reference) - 1)
    return int(first + (last - first) / 3), int(np.ceil(first + 2 * (last - first) / 3))
