"""Execution of a study's tuning, and planning of the runs with the selected values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from filelock import FileLock

from spsam.config.problems import gather, raise_all
from spsam.config.schema import ArmConfig
from spsam.errors import Problem, SpsamError
from spsam.studies.backend import Backend
from spsam.studies.execution.ablation import check_weights
from spsam.studies.planning.plan import Ablation, PlannedArm
from spsam.studies.planning.shapes import MadeArm
from spsam.studies.progress_events import ProgressListener
from spsam.studies.sweep.plan_sweep import Sweep
from spsam.studies.sweep.run_sweep import run_sweep
from spsam.studies.sweep.storage import open_study
from spsam.studies.tuning.plan import TunedAblation, Tuning


def tuned(ablation: Ablation, watch: ProgressListener, backend: Backend) -> Ablation:
    """Runs the sweeps of a study, and replaces its arms by those with the selected values.

    Finished trials are not repeated: an interrupted call resumes, and simultaneous calls share the
    trials. A study without tuning is returned unchanged.

    Args:
        ablation: The planned ablation, from `plan_study`.
        watch: Receives progress and messages.
        backend: The engine.

    Raises:
        InputError: If the weights of an arm, tuned or not, are invalid, before any trial begins.
        SpsamError: If all trials of an arm failed.
        KeyboardInterrupt: If the user interrupted it.
    """
    if not isinstance(ablation, TunedAblation) or ablation.tuning.done:
        return ablation
    check_weights(ablation, backend)
    tuning = ablation.tuning
    chosen: dict[str, Mapping[str, Any]] = {}
    failed: list[str] = []
    for number, (arm, sweep) in enumerate(tuning.sweeps.items(), start=1):
        watch.say(f"tuning {arm} ({number} of {len(tuning.sweeps)}): {sweep.trials} trials")
        values = _best(sweep, watch, backend)
        if values is None:
            failed.append(
                f"{arm}: no trial finished; see {sweep.folder / 'trials.csv'} for the reasons"
            )
            continue
        chosen[arm] = values
        told = ", ".join(f"{key} {value}" for key, value in values.items())
        watch.say(f"tuning {arm}: chose {told}")
    if failed:
        raise SpsamError("\n".join(failed))
    tuning = replace(tuning, chosen=chosen)
    return replace(ablation, arms=_planned(ablation, tuning), tuning=tuning)


def _best(sweep: Sweep, watch: ProgressListener, backend: Backend) -> Mapping[str, Any] | None:
    """Returns the best trial's values, after all trials, including those of other processes."""
    outcome = run_sweep(sweep, watch, backend)
    while _wait_for_others(sweep):
        outcome = run_sweep(sweep, watch, backend)
    if not outcome.best:
        return None
    values: Mapping[str, Any] = outcome.best[0]["overrides"]
    return values


def _wait_for_others(sweep: Sweep) -> bool:
    """Waits for a trial that another process is running; returns False if there is none."""
    from optuna.trial import TrialState

    for trial in open_study(sweep).get_trials(deepcopy=False):
        if trial.state == TrialState.RUNNING:
            # Held until the trial's value is stored, or its process has died.
            with FileLock(sweep.folder / ".trials" / f"{trial.number}.lock"):
                return True
    return False


def _planned(ablation: Ablation, tuning: Tuning) -> list[PlannedArm]:
    arms = {each.arm.name: _arm(each, tuning) for each in tuning.made}
    kept = {planned.arm.name for planned in ablation.arms}
    problems: list[Problem] = []
    planned: list[PlannedArm] = []
    for each in tuning.made:
        if each.arm.name not in kept:
            continue
        parent = None if each.parent is None else arms.get(each.parent.name, each.parent)
        told = tuning.describe(each.arm.name)
        with gather(problems):
            arm = tuning.planner.arm(arms[each.arm.name], parent)
            runs = [replace(run, tuned=told) for run in arm.runs]
            planned.append(replace(arm, levels=each.levels, recipe=each.recipe, runs=runs))
    raise_all(problems)
    return planned


def _arm(made: MadeArm, tuning: Tuning) -> ArmConfig:
    """Returns the arm with the selected values under its own name, as if the user had set them."""
    values = tuning.chosen.get(made.arm.name)
    if values is None:
        return made.arm
    assert made.file is not None
    labels = made.arm.model_dump(include={"name", "title", "parent"})
    return tuning.loader.load(made.file, {**made.values, **values}).model_copy(update=labels)
