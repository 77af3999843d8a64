"""Training losses of both phases, and scores of validation cases during training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spsam.errors import SpsamError
from spsam.reporting.figures.style import (
    GREY,
    Drawing,
    NothingToDrawError,
    colour,
    dashes,
    facets,
    legend,
)
from spsam.reporting.tables.study import StudyResults
from spsam.results.run_folder import VALIDATION_DICE, RunFolder
from spsam.text.drawn import in_legend

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LOSSES = {
    "loss/generator": "prompt generator's loss",
    "loss/mask": "loss of the final masks",
}

_DICE = "Dice of the validation cases, %"

_DOTS = 10  # Up to this many epochs are marked by dots.


def draw(study: StudyResults) -> Drawing:
    """One axis per loss and one for scores, with one line per run; phase two is marked."""
    from matplotlib.ticker import MaxNLocator

    runs = study.measured.runs
    logs = {str(folder): _read(Path(folder)) for folder in runs["folder"] if Path(folder).is_dir()}
    if not any(logs.values()):
        raise NothingToDrawError("No run has a log of its training (metrics.jsonl).")
    scored = any(VALIDATION_DICE in epoch for log in logs.values() for epoch in log)
    shown = {**LOSSES, VALIDATION_DICE: _DICE} if scored else LOSSES
    figure, axes = facets(len(shown), columns=len(shown), height=2.5, share=False)
    begins, chosen = set(), False
    for place, arm in enumerate(study.measured.arms):
        if arm.external:
            continue
        label: str | None = in_legend(arm.label)
        for folder in runs[runs["arm"] == arm.name]["folder"]:
            epochs = logs.get(folder, [])
            best = _best(Path(folder)) if arm.best else None
            chosen = chosen or best is not None
            for axis, name in zip(axes, shown, strict=True):
                _line(axis, epochs, name, place, label)
            if best is not None and scored:
                there = [epoch for epoch in epochs if epoch["epoch"] == best]
                _line(axes[-1], there, VALIDATION_DICE, place, None, ms=7, mfc="none", alpha=1)
            label = None if epochs else label
            joint = [epoch["epoch"] for epoch in epochs if "loss/mask" in epoch]
            if joint:
                begins.add(min(joint) + 0.5)
    last = max((epoch["epoch"] + 1 for log in logs.values() for epoch in log), default=1)
    for axis, title in zip(axes, shown.values(), strict=True):
        axis.set_title(title)
        axis.set_xlabel("epoch")
        axis.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axis.set_xlim(0.5, last + 0.5)
        axis.grid(axis="y")
        for begin in begins:
            axis.axvline(begin, color=GREY, lw=0.9, ls=(0, (4, 2)), zorder=0)
    legend(figure, axes[0], columns=9)
    return Drawing(
        figure,
        "Training losses by epoch, averaged over its steps; one line per run. Left of the dashed "
        "line, only the prompt generator is trained; right of it, all added blocks are."
        + (" Validation cases are scored during training but not trained on." if scored else "")
        + (" A ring marks the epoch whose weights are evaluated." if chosen else ""),
    )


def _line(
    axis: Axes,
    epochs: Sequence[dict[str, float]],
    name: str,
    place: int,
    label: str | None,
    **style: Any,
) -> None:
    """Draws a metric of a run; `style` contains properties of matplotlib's line."""
    there = [epoch for epoch in epochs if name in epoch]
    scale = 100 if name == VALIDATION_DICE else 1
    usual: dict[str, Any] = {
        "color": colour(place),
        "ls": dashes(place),
        "lw": 1.1,
        # A line with a single epoch would be invisible.
        "marker": "o" if len(there) <= _DOTS else "",
        "ms": 3,
        "alpha": 0.85,
        "label": label,
    }
    numbers = [epoch["epoch"] + 1 for epoch in there]
    axis.plot(numbers, [scale * epoch[name] for epoch in there], **(usual | style))


def _best(folder: Path) -> int | None:
    """The epoch with the best validation score; None if the run has none yet."""
    try:
        best = RunFolder(folder.parents[1], folder.name).read().get("best") or {}
    except SpsamError:
        return None
    return best.get("epoch")


def _read(folder: Path) -> Sequence[dict[str, float]]:
    try:
        run = RunFolder(folder.parents[1], folder.name)
        run.verify(run.metrics)
        epochs = run.read_metrics()
    except SpsamError:  # a damaged log is treated like a missing one
        return []
    return [epoch for epoch in epochs if "epoch" in epoch and np.isfinite(epoch["epoch"])]
