"""Execution of the runs of one arm outside of a study."""

from __future__ import annotations

from dataclasses import replace

from spsam.results.run_folder import RunFolder
from spsam.studies.backend import Backend
from spsam.studies.execution.ablation import check_weights, prepare
from spsam.studies.execution.single_run import SingleRun
from spsam.studies.planning.plan import Ablation
from spsam.studies.progress_events import ProgressListener, run_labels
from spsam.tracking.mlflow import Tracker


def train_runs(
    ablation: Ablation, watch: ProgressListener | None = None, backend: Backend | None = None
) -> list[RunFolder]:
    """Trains and scores the runs of a plan one after the other; resumes, or skips finished ones.

    A run has the same folder as in an ablation, so neither repeats a run of the other.

    Args:
        ablation: The plan, from `plan_ablation` with one arm.
        watch: Receives progress and messages.
        backend: The engine.

    Returns:
        The runs' folders. A failed run does not stop the others; its folder's status is `failed`.

    Raises:
        InputError: If data or weights are invalid, before any run begins.
        KeyboardInterrupt: If the user or a signal stopped it.
    """
    watch, backend = watch or ProgressListener(), backend or Backend()
    runs = [run for _, run in ablation.runs]
    check_weights(ablation, backend)
    stores = prepare(ablation, watch, backend)
    tracker = Tracker(ablation.request.home, watch.warn)
    tracker.open("single runs", "train", {})
    try:
        for label, run in zip(run_labels(runs, ablation.splits), runs, strict=True):
            with run.folder.lock(wait=True):
                SingleRun(backend, tracker, watch)(replace(run, store=stores[run.plan.key]), label)
    except KeyboardInterrupt:
        tracker.close("KILLED")
        raise
    tracker.close("FINISHED")
    return [run.folder for run in runs]
