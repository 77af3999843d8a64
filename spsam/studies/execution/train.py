"""Runs of one arm by themselves, outside of any table."""

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
    """Trains and scores the runs of a plan in turn; each resumes, or is found finished.

    The same run in an ablation is the same folder: neither runs it again.

    Args:
        ablation: Of `plan_ablation`, with one arm.
        watch: Told what happens.
        backend: The engine.

    Returns:
        Their folders; the status there tells whether a run failed, which stops no other.

    Raises:
        InputError: If data or weights turn out to be wrong, before a run is begun.
        KeyboardInterrupt: If the user, or a signal, stopped it.
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
