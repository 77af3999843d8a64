"""The outcome of a sweep: best values, importances, figures and files."""

from __future__ import annotations

import json
import shlex
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spsam.config.overrides import flag
from spsam.config.places import home, shipped
from spsam.config.yaml_file import to_yaml
from spsam.files import write_text
from spsam.registry.files import arm_file
from spsam.studies.planning.space import overrides
from spsam.studies.sweep.plots import cost_of, draw
from spsam.studies.sweep.retry import RETRY_OF
from spsam.studies.sweep.storage import START, open_study

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

    from spsam.studies.sweep.plan_sweep import Sweep


@dataclass(frozen=True)
class SweepOutcome:
    """The outcome of a sweep.

    Attributes:
        counts: State -> number of trials.
        best: The best trial; with several objectives, the trials of the Pareto front.
        start: The trial of the unchanged arm; None if there is none, or it has not finished.
        importances: Objective -> parameter -> importance; empty while there are too few trials.
        files: The written files.
    """

    counts: dict[str, int]
    best: list[dict[str, Any]]
    start: dict[str, Any] | None
    importances: dict[str, dict[str, float]]
    files: list[Path]


def summarise(sweep: Sweep) -> SweepOutcome:
    """Reads the study, and writes its table, best arm, figures and summary page."""
    from spsam.reporting.render.files import frame_to_csv

    study = open_study(sweep)
    best = [_plain(sweep, trial) for trial in _best(study)]
    importances = _importances(sweep, study)
    trials = study.get_trials(deepcopy=False)
    again = {trial.user_attrs[RETRY_OF] for trial in trials if RETRY_OF in trial.user_attrs}
    counts: dict[str, int] = {}
    for trial in trials:
        state = "tried again" if trial.number in again else trial.state.name.lower()
        counts[state] = counts.get(state, 0) + 1
    start = _start(sweep, trials)
    table = sweep.folder / "trials.csv"
    write_text(table, frame_to_csv(study.trials_dataframe()))
    files = [table]
    if best and not sweep.of_study:
        files.append(sweep.folder / "best.yaml")
        write_text(files[-1], _arm_file(sweep, best[0]))
    files += draw(study, sweep.config.objectives, importances, sweep.folder / "plots")
    page = sweep.folder / "sweep.md"
    write_text(page, _page(sweep, counts, best, start, importances, files))
    record = sweep.folder / "sweep.json"
    result = {"counts": counts, "best": best, "start": start, "importances": importances}
    write_text(record, json.dumps({**sweep.describe(), **result}, indent=2) + "\n")
    return SweepOutcome(counts, best, start, importances, [page, *files, record])


def trial_line(sweep: Sweep, study: Study, trial: FrozenTrial) -> str:
    """Describes a finished trial in one line."""
    values = ", ".join(f"{k}={_short(v)}" for k, v in trial.params.items())
    state = trial.state.name.lower()
    # A pruned trial's value is the last one that it reported, which may be a loss.
    if state != "complete":
        why = trial.user_attrs.get("error")
        return f"trial {trial.number}: {state}, with {values}" + (f": {why}" if why else "")
    scored = ", ".join(
        f"{name} {_short(value)}"
        for name, value in zip(sweep.config.objectives, trial.values, strict=True)
    )
    numbers = [best.number for best in _best(study)]
    ahead = "best so far" if trial.number in numbers else f"best: trial {numbers[0]}"
    return f"trial {trial.number}: {scored}, with {values} ({ahead})"


def _best(study: Study) -> list[FrozenTrial]:
    """Returns the best trials, sorted by the first objective."""
    from optuna.study import StudyDirection

    sign = -1 if study.directions[0] == StudyDirection.MAXIMIZE else 1
    found = sorted(study.best_trials, key=lambda trial: (sign * trial.values[0], trial.number))
    return found if len(study.directions) > 1 else found[:1]


def _start(sweep: Sweep, trials: Sequence[FrozenTrial]) -> dict[str, Any] | None:
    """Returns the completed trial of the unchanged arm, which may be a retry."""
    from optuna.trial import TrialState

    numbers: set[int] = set()
    for trial in trials:
        if trial.user_attrs.get(START) or trial.user_attrs.get(RETRY_OF) in numbers:
            numbers.add(trial.number)
            if trial.state == TrialState.COMPLETE:
                return _plain(sweep, trial)
    return None


def _plain(sweep: Sweep, trial: FrozenTrial) -> dict[str, Any]:
    values = overrides(sweep.space, trial.params)
    return {
        "trial": trial.number,
        "values": dict(zip(sweep.config.objectives, trial.values, strict=True)),
        "run_id": trial.user_attrs.get("run_id"),
        "mlflow_run": trial.user_attrs.get("mlflow_run"),
        "overrides": values,
        "set": [flag(tuple(key.split(".")), value) for key, value in values.items()],
    }


def _importances(sweep: Sweep, study: Study) -> dict[str, dict[str, float]]:
    """Returns the importances of the parameters, as computed by Optuna."""
    from optuna.importance import get_param_importances

    found: dict[str, dict[str, float]] = {}
    for index, name in enumerate(sweep.config.objectives):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found[name] = dict(get_param_importances(study, target=cost_of(study, index)))
        except (ValueError, RuntimeError):
            continue  # too few trials, or all values are equal
    return found


def _arm_file(sweep: Sweep, best: Mapping[str, Any]) -> str:
    """Returns an arm's file with the best values, for `spsam ablate`."""
    config = sweep.config
    title = f"{config.title}: trial {best['trial']}"
    data: dict[str, Any] = {"base": _base(config.arm), "title": title}
    for key, value in {**config.set, **sweep.request.overrides, **best["overrides"]}.items():
        *above, last = key.split(".")
        if above == ["blocks"] and isinstance(value, str):
            above, last = [*above, last], "name"  # parameters may follow
        part = data
        for name in above:
            part = part.setdefault(name, {})
        part[last] = value
    return f"# {best_command(sweep, anywhere=True)}\n{to_yaml(data)}"


def _base(name: str) -> str:
    """Returns a shipped arm's name, or the absolute path of another arm's file.

    Args:
        name: Name of the arm, or path of its file.
    """
    file = arm_file(name).resolve()
    return file.stem if file.parent == shipped("ablations").resolve() else str(file)


def best_command(sweep: Sweep, *, anywhere: bool = False) -> str:
    """Returns the command that compares the best values with the arm on the test cases.

    Args:
        sweep: A sweep with a file of the best values.
        anywhere: Whether the command must work in every folder, which requires absolute paths.
    """

    def place(path: str | Path) -> str:
        # The name of a data set or a preset is not a path.
        there = anywhere and Path(path).exists()
        return str(Path(path).resolve()) if there else str(path)

    request = sweep.request
    arm = _base(sweep.config.arm) if anywhere else sweep.config.arm
    words = ["spsam", "ablate", arm, str(Path(place(sweep.folder), "best.yaml"))]
    words += ["--data", place(request.data)]
    words += ["--preset", place(request.preset or sweep.config.preset or sweep.context.preset)]
    words += ["--fold", str(request.fold)] if request.fold else []
    words += ["--split", place(request.split)] if request.split else []
    words += ["--checkpoint", place(request.checkpoint)] if request.checkpoint else []
    if anywhere or request.home != home():
        words += ["--out", place(request.home)]
    for plugin in request.plugins:
        words += ["--plugin", place(plugin)]
    return shlex.join(words)


def _page(  # noqa: PLR0917 - the content of the page
    sweep: Sweep,
    counts: Mapping[str, int],
    best: list[dict[str, Any]],
    start: Mapping[str, Any] | None,
    importances: Mapping[str, Mapping[str, float]],
    files: list[Path],
) -> str:
    split = sweep.context.split
    told = ", ".join(f"{count} {state}" for state, count in counts.items())
    after = (
        "the study trains the arm with the best values."
        if sweep.of_study
        else "run the best values with `spsam ablate` to obtain a result to report."
    )
    lines = [
        f"# {sweep.config.title}",
        "",
        f"{told} trials on {sweep.context.dataset.name}; trained on {len(split.train)} cases, "
        f"scored on the {len(split.test)} validation cases of the split. No test case was used: "
        f"{after}",
        "",
    ]
    for entry in best:
        scored = ", ".join(f"{name} {_short(value)}" for name, value in entry["values"].items())
        lines += [f"- trial {entry['trial']}: {scored}", "", "  ```"]
        lines += [*[f"  {line}" for line in entry["set"]], "  ```", ""]
    if start is not None:
        scored = ", ".join(f"{name} {_short(value)}" for name, value in start["values"].items())
        lines += [f"The unchanged {sweep.config.arm}, trial {start['trial']}: {scored}.", ""]
    for name, shares in importances.items():
        lines += [f"Importance for {name}:", "", "| parameter | share |", "| --- | ---: |"]
        lines += [f"| {key} | {share:.2f} |" for key, share in shares.items()] + [""]
    pictures = [file for file in files if file.suffix == ".svg"]
    lines += [f"![{file.stem}]({file.relative_to(sweep.folder).as_posix()})" for file in pictures]
    return "\n".join(lines) + "\n"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
