"""The losses over both phases of training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

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
from spsam.results.run_folder import RunFolder
from spsam.text.drawn import in_legend

LOSSES = {
    "loss/generator": "prompt generator's loss",
    "loss/mask": "loss of the final masks",
}

_DOTS = 10  # Epochs that are dots, too; more are a line alone.


def draw(study: StudyResults) -> Drawing:
    """An axis a loss, a line a run; the second phase begins at the grey line."""
    from matplotlib.ticker import MaxNLocator

    runs = study.measured.runs
    logs = {str(folder): _read(Path(folder)) for folder in runs["folder"] if Path(folder).is_dir()}
    if not any(logs.values()):
        raise NothingToDrawError("No run has a log of its training (metrics.jsonl).")
    figure, axes = facets(len(LOSSES), columns=2, height=2.5, share=False)
    begins = set()
    for place, arm in enumerate(study.measured.arms):
        if arm.external:
            continue
        label: str | None = in_legend(arm.label)
        for folder in runs[runs["arm"] == arm.name]["folder"]:
            epochs = logs.get(folder, [])
            for axis, loss in zip(axes, LOSSES, strict=True):
                there = [epoch for epoch in epochs if loss in epoch]
                axis.plot(
                    [epoch["epoch"] + 1 for epoch in there],
                    [epoch[loss] for epoch in there],
                    color=colour(place),
                    ls=dashes(place),
                    lw=1.1,
                    # A line of one epoch would be nothing at all.
                    marker="o" if len(there) <= _DOTS else "",
                    ms=3,
                    alpha=0.85,
                    label=label,
                )
            label = None if epochs else label
            joint = [epoch["epoch"] for epoch in epochs if "loss/mask" in epoch]
            if joint:
                begins.add(min(joint) + 0.5)
    last = max((epoch["epoch"] + 1 for log in logs.values() for epoch in log), default=1)
    for axis, title in zip(axes, LOSSES.values(), strict=True):
        axis.set_title(title)
        axis.set_xlabel("epoch")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.set_xlim(0.5, last + 0.5)
        axis.grid(axis="y")
        for begin in begins:
            axis.axvline(begin, color=GREY, lw=0.9, ls=(0, (4, 2)), zorder=0)
    legend(figure, axes[0], columns=9)
    return Drawing(
        figure,
        "Training losses by epoch, the mean over its steps; one line a run. Left of the dashed "
        "line only the prompt generator trains, right of it everything that is added to SAM.",
    )


def _read(folder: Path) -> Sequence[dict[str, float]]:
    try:
        run = RunFolder(folder.parents[1], folder.name)
        run.verify(run.metrics)
        epochs = run.read_metrics()
    except SpsamError:  # a damaged log is as good as none
        return []
    return [epoch for epoch in epochs if "epoch" in epoch and np.isfinite(epoch["epoch"])]
