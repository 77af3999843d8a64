"""Pictures of a sweep, drawn by Optuna; labels are made to fit."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spsam.files import atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from optuna import Study
    from optuna.trial import FrozenTrial

_LETTERS = 24
"""So many letters stand below an axis side by side; more are slanted."""


def draw(study: Study, objectives: Sequence[str], folder: Path) -> list[Path]:
    """Draws what the study has enough trials for.

    Args:
        study: The study.
        objectives: In the order of a trial's values.
        folder: Where the pictures go.

    Returns:
        The pictures.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    files = []
    for stem, job in _jobs(study, list(objectives)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            file = folder / f"{stem}.png"
            try:
                job()
                figure = plt.gcf()
                if stem.startswith("slice"):
                    _spread_slices(figure)
                elif stem.startswith("parallel"):
                    _spread_coordinates(figure, names_of(study))
                with atomic(file) as draft:
                    figure.savefig(draft, format="png", dpi=120, bbox_inches="tight")
            except (ValueError, RuntimeError, IndexError):
                # Too few trials, or all alike, or a value with dollar signs that is no formula.
                continue
            finally:
                plt.close("all")
            files.append(file)
    return files


def cost_of(study: Study, index: int) -> Callable[[FrozenTrial], float]:
    """One of a trial's values, so that less is better: what Optuna's importances take a target for.

    Given the values themselves, they tell of an objective that is to grow what makes it small.
    """
    from optuna.study import StudyDirection

    sign = -1.0 if study.directions[index] == StudyDirection.MAXIMIZE else 1.0
    return lambda trial: sign * float(trial.values[index])


def _value_of(index: int) -> Callable[[FrozenTrial], float]:
    return lambda trial: float(trial.values[index])


def _jobs(study: Study, names: list[str]) -> list[tuple[str, Callable[[], Any]]]:
    import optuna.visualization.matplotlib as plots

    jobs: list[tuple[str, Callable[[], Any]]] = []
    for index, name in enumerate(names):
        about: dict[str, Any] = {"target_name": name}
        end = ""
        if len(names) > 1:
            # Of an only objective Optuna knows the direction, and marks what is best so far.
            about["target"] = _value_of(index)
            end = f"-{name}"
        cost = {**about, "target": cost_of(study, index)}
        jobs += [
            (f"history{end}", partial(plots.plot_optimization_history, study, **about)),
            (f"importances{end}", partial(plots.plot_param_importances, study, **cost)),
            (f"parallel{end}", partial(plots.plot_parallel_coordinate, study, **about)),
            (f"slice{end}", partial(plots.plot_slice, study, **about)),
        ]
    if len(names) in (2, 3):
        jobs.append(("pareto", partial(plots.plot_pareto_front, study, target_names=names)))
    return jobs


def _spread_slices(figure: Figure) -> None:
    """An axis a parameter: wide enough for its name, which is broken at its dots."""
    axes = [axis for axis in figure.axes if axis.get_xlabel()]
    figure.set_size_inches(2.6 * len(axes) + 1.4, 4.2)
    for axis in axes:
        axis.set_xlabel(broken(axis.get_xlabel()), fontsize=9)
        _slant(axis)


def _spread_coordinates(figure: Figure, names: Sequence[str]) -> None:
    """A line a trial over upright axes: their names stand below, broken at their dots."""
    axis = figure.axes[0]
    labels = [label.get_text() for label in axis.get_xticklabels()]
    if len(labels) == len(names) + 1:
        labels[1:] = names  # Optuna cuts them short
    figure.set_size_inches(max(8.0, 1.9 * len(labels)), 4.8)
    axis.set_xticks(
        axis.get_xticks(), [broken(name) for name in labels], rotation=0, ha="center", fontsize=8
    )
    for lines in axis.collections:
        # The best lines are the palest of Optuna's own colours, hardly seen on its grey.
        lines.set_cmap("viridis")


def names_of(study: Study) -> list[str]:
    """The parameters of all trials, in the order of Optuna's axes."""
    trials = study.get_trials(deepcopy=False)
    return sorted({name for trial in trials for name in trial.params})


def broken(key: str) -> str:
    """A dotted key on several lines, since all of it in one would cover its neighbours."""
    return key.replace(".", ".\n")


def _slant(axis: Axes) -> None:
    from matplotlib.ticker import NullFormatter

    axis.xaxis.set_minor_formatter(NullFormatter())
    labels = [label.get_text() for label in axis.get_xticklabels()]
    if any("'" in label for label in labels):
        axis.set_xticks(axis.get_xticks(), [label.strip("'") for label in labels])
    if sum(map(len, labels)) > _LETTERS and "$" not in "".join(labels):
        for label in axis.get_xticklabels():
            label.set(rotation=40, ha="right", rotation_mode="anchor")
