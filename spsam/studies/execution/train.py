"""One run by itself, outside of any table."""

from __future__ import annotations

from dataclasses import replace

from spsam.results.run_folder import RunFolder
from spsam.studies.backend import Backend
from spsam.studies.execution.ablation import check_weights, prepare
from spsam.studies.execution.single_run import SingleRun
from spsam.studies.planning.plan import Ablation
from spsam.studies.progress_events import ProgressListener, RunLabel
from spsam.tracking.mlflow import Tracker


def train_one(
    ablation: Ablation, watch: ProgressListener | None = None, backend: Backend | None = None
) -> RunFolder:
    """Trains and scores the one run of a plan; resumes where it stopped, or finds it finished.

    The same run in an ablation is the same folder: neither runs it again.

    Args:
        ablation: Of `plan_ablation`, with one arm and one seed.
        watch: Told what happens.
        backend: The engine.

    Returns:
        Its folder; the status there tells whether it failed.

    Raises:
        InputError: If data or weights turn out to be wrong, before the run is begun.
        KeyboardInterrupt: If the user, or a signal, stopped it.
    """
    watch, backend = watch or ProgressListener(), backend or Backend()
    ((_, run),) = ablation.runs
    check_weights(ablation, backend)
    stores = prepare(ablation, watch, backend)
    run = replace(run, store=stores[run.plan.key])
    tracker = Tracker(ablation.request.home, watch.warn)
    tracker.open("single runs", "train", {})
    label = RunLabel.of(run, 1, 1)
    try:
        with run.folder.lock(wait=True):
            SingleRun(backend, tracker, watch)(run, label)
    except KeyboardInterrupt:
        tracker.close("KILLED")
        raise
    tracker.close("FINISHED")
    return run.folder
