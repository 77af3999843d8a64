"""One run by itself, outside of any table."""

from __future__ import annotations

from spsam.results.run_folder import RunFolder
from spsam.studies.ablation import check_weights, prepare
from spsam.studies.backend import Backend
from spsam.studies.one_run import Runner
from spsam.studies.plan import Ablation
from spsam.studies.watch import RunLabel, Watcher
from spsam.tracking.mlflow import Tracker


def train_one(
    ablation: Ablation, watch: Watcher | None = None, backend: Backend | None = None
) -> RunFolder:
    """Trains and scores the one run of a plan; goes on where it stopped, or finds it finished.

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
    watch, backend = watch or Watcher(), backend or Backend()
    ((arm, run),) = ablation.runs
    check_weights(ablation, backend)
    stores = prepare(ablation, watch, backend)
    tracker = Tracker(ablation.request.home, watch.warn)
    tracker.open("single runs", "train", {})
    label = RunLabel(1, 1, arm.arm.name, run.config.seed, run.folder.run_id)
    try:
        with run.folder.lock(wait=True):
            validate_every = ablation.request.validate
            Runner(ablation, stores, backend, tracker, watch, validate_every=validate_every)(
                arm, run, label
            )
    except KeyboardInterrupt:
        tracker.close("KILLED")
        raise
    tracker.close("FINISHED")
    return run.folder
