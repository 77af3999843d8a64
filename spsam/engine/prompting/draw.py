"""Figures of prompts and of SAM's predictions (the paper's Fig. 1a, 1b and 1c)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spsam.engine.preview import draw_slice
from spsam.engine.prompting.scenes import PromptScene
from spsam.files import atomic
from spsam.text.classes import class_labels
from spsam.text.colours import class_colour
from spsam.text.drawn import drawn, in_legend
from spsam.text.escape import plain

_DPI = 160


@drawn()
def draw_grid(
    path: Path, rows: Mapping[str, Mapping[str, PromptScene]], class_names: Sequence[str]
) -> None:
    """Draws prompts and the resulting masks, one row per slice and one column per kind of prompts.

    Args:
        path: A PNG file.
        rows: Scenes by title of the row and title of the column; all rows have the same columns.
        class_names: Names of the classes, background first.
    """
    columns = list(next(iter(rows.values())))
    figure, axes = _figure(len(rows), len(columns) + 1)
    for line, (title, scenes) in zip(axes, rows.items(), strict=True):
        first = scenes[columns[0]]
        draw_slice(line[0], first.image, first.reference, first.aspect)
        line[0].set_ylabel(plain(title))
        line[0].set_title("reference")
        for axis, name in zip(line[1:], columns, strict=True):
            _answer(axis, scenes[name])
            axis.set_title(f"{plain(name)}\nDice {100 * scenes[name].dice():.1f}")
    _legend(figure, class_names)
    with atomic(path) as draft:
        figure.savefig(draft, dpi=_DPI)


@drawn()
def draw_logits(path: Path, scene: PromptScene, head: str, class_names: Sequence[str]) -> None:
    """Shows why a softmax over SAM's raw logits fails: label maps, and histograms of the logits.

    Args:
        path: A PNG file.
        scene: A scene with the logits of all classes.
        head: Name of the network's mask head.
        class_names: Names of the classes, background first.
    """
    maps: dict[str, NDArray[Any] | None] = {"reference": scene.reference}
    maps["softmax over raw logits"] = scene.logits.argmax(axis=0)
    maps["argmax of positive logits"] = np.where(
        (scene.logits > 0).any(axis=0), scene.logits.argmax(axis=0), 0
    )
    if scene.labels is not None and head not in ("softmax", "argmax"):
        maps[head] = scene.labels
    classes = len(class_names)
    figure, axes = _figure(2, max(classes, len(maps)), height=2.3)
    for axis in axes.flat:
        axis.set_visible(False)
    for axis, (name, labels) in zip(axes[0], maps.items(), strict=False):
        axis.set_visible(True)
        draw_slice(axis, scene.image, labels, scene.aspect)
        axis.set_title(name)
    low, high = float(scene.logits.min()), float(scene.logits.max())
    bins = np.linspace(low, high + 1e-6, 40)
    for k, (axis, name) in enumerate(zip(axes[1], class_labels(class_names), strict=False)):
        axis.set_visible(True)
        inside = scene.reference == k
        for where, label, colour in (
            (~inside, "elsewhere", "#999999"),
            (inside, name, class_colour(k)),
        ):
            if where.any():
                axis.hist(
                    scene.logits[k][where],
                    bins,
                    density=True,
                    alpha=0.7,
                    color=colour,
                    label=f"pixels of {label}" if label == name else label,
                )
        axis.axvline(0, color="black", linewidth=0.7)
        axis.set_title(f"logits of {name}")
        axis.set_yticks([])
        axis.margins(y=0.3)  # for the legend
        axis.legend(fontsize=6, loc="upper right")
    _legend(figure, class_names)
    with atomic(path) as draft:
        figure.savefig(draft, dpi=_DPI)


@drawn()
def draw_neighbours(
    path: Path,
    rows: Mapping[str, NDArray[np.integer]],
    image: NDArray[np.float32],
    aspect: float,
    class_names: Sequence[str],
) -> None:
    """Draws label maps of neighbouring slices, one row per label map (the paper's Fig. 1d).

    Args:
        path: A PNG file.
        rows: `(n, H, W)` label maps of the same slices, by title.
        image: `(n, H, W)`, the slices.
        aspect: Height over width of a pixel.
        class_names: Names of the classes, background first.
    """
    figure, axes = _figure(len(rows), len(image))
    for line, (title, labels) in zip(axes, rows.items(), strict=True):
        line[0].set_ylabel(plain(title))
        for axis, picture, label in zip(line, image, labels, strict=True):
            draw_slice(axis, picture, label, aspect)
    _legend(figure, class_names)
    with atomic(path) as draft:
        figure.savefig(draft, dpi=_DPI)


def _answer(axis: Any, scene: PromptScene) -> None:
    """Draws the image, each class's mask and its outline, and the prompts in the class's colour."""
    draw_slice(axis, scene.image, None, scene.aspect)
    height, width = scene.image.shape
    classes = range(1, len(scene.logits))
    for k in classes:
        mask = scene.answer[k]
        if mask.any():
            shade = np.zeros((*mask.shape, 4))
            shade[mask] = (*_rgb(class_colour(k)), 0.35)
            axis.imshow(shade, interpolation="nearest", aspect=scene.aspect)
            if not mask.all():
                axis.contour(mask, [0.5], colors=[class_colour(k)], linewidths=0.5)
    for k in classes:
        if scene.present[k]:
            _prompted_area(axis, scene, k)
    for k, x, y, positive in scene.points:
        if k > 0:
            marker = "o" if positive else "X"
            axis.plot(x, y, marker, color=class_colour(k), markersize=6, markeredgecolor="white")
    axis.set_xlim(-0.5, width - 0.5)
    axis.set_ylim(height - 0.5, -0.5)


def _prompted_area(axis: Any, scene: PromptScene, k: int) -> None:
    """Draws the box, and the outline of the mask prompt as a dotted line."""
    from matplotlib.patches import Rectangle

    height, width = scene.image.shape
    if scene.masks is not None and scene.masks[k].any() and not scene.masks[k].all():
        rows, columns = scene.masks[k].shape
        x = (np.arange(columns) + 0.5) * width / columns - 0.5
        y = (np.arange(rows) + 0.5) * height / rows - 0.5
        for colour, line, dots in (("white", 2.2, "solid"), (class_colour(k), 1.4, "dotted")):
            axis.contour(
                x, y, scene.masks[k], [0.5], colors=[colour], linewidths=line, linestyles=dots
            )
    if scene.boxes is not None:
        x1, y1, x2, y2 = scene.boxes[k].tolist()
        size = (x2 - x1 + 1, y2 - y1 + 1)
        for colour, line in (("white", 2.6), (class_colour(k), 1.5)):
            box = Rectangle((x1 - 0.5, y1 - 0.5), *size, fill=False, edgecolor=colour)
            box.set(linewidth=line, zorder=3)
            axis.add_patch(box)


def _figure(rows: int, columns: int, height: float = 2.4) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2.1 * columns, height * rows + 0.5), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False)


def _legend(figure: Any, class_names: Sequence[str]) -> None:
    from matplotlib.patches import Patch

    labels = enumerate(class_labels(class_names))
    figure.legend(
        handles=[Patch(color=class_colour(k), label=in_legend(name)) for k, name in labels if k],
        loc="outside lower center",
        ncols=min(len(class_names) - 1, 8),
    )


def _rgb(colour: str) -> tuple[float, float, float]:
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return red, green, blue
