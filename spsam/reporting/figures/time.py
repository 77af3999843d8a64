"""Dice against training time, for studies that train the same methods by several schedules."""

from __future__ import annotations

from spsam.reporting.figures.style import (
    Drawing,
    NothingToDrawError,
    colour,
    dashes,
    facets,
    legend,
)
from spsam.reporting.tables.study import StudyResults
from spsam.reporting.tables.time import trained_by_schedule
from spsam.text.drawn import in_legend


def draw(study: StudyResults) -> Drawing:
    """One line per method through its schedules, on a logarithmic axis of time."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    methods = trained_by_schedule(study)
    if not methods:
        raise NothingToDrawError("No run trained by spsam is finished yet.")
    figure, (axis,) = facets(1, columns=1, height=3.4, share=False)
    for place, (method, found) in enumerate(methods.items()):
        minutes = [each.minutes for each in found]
        axis.plot(
            minutes,
            [each.dice for each in found],
            color=colour(place),
            ls=dashes(place),
            marker="o",
            ms=5,
            lw=1.2,
            label=in_legend(method),
        )
        axis.vlines(
            minutes,
            [each.low for each in found],
            [each.high for each in found],
            color=colour(place),
            lw=1,
            alpha=0.5,
        )
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(10, (1, 2, 5)))
    axis.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.set_xlabel("training time of a run, minutes")
    axis.set_ylabel("mean Dice, percent")
    axis.grid()
    legend(figure, axis)
    return Drawing(
        figure,
        "Mean Dice against training time. Each point is a schedule that was trained from its start "
        "to its end; a line connects the schedules of one method. Vertical lines: 95% confidence "
        "interval over patients. Time: training of one run without scoring, averaged over runs; it "
        "depends on the machine.",
    )
