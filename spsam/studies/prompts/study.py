"""Runs a planned study of prompts: answers, tables, pictures, and the same in MLflow."""

from __future__ import annotations

from spsam.studies.backend import Backend
from spsam.studies.progress_events import ProgressListener
from spsam.studies.prompts.findings import attribute, compare_neighbours
from spsam.studies.prompts.pictures import LAST_PICTURE, draw_pictures
from spsam.studies.prompts.plan_prompts import PromptStudy
from spsam.studies.prompts.session import Session, answer_all, is_missing
from spsam.studies.prompts.summary import PromptOutcome, summarise
from spsam.studies.prompts.tracking import close_study, open_study, record_cells
from spsam.tracking.mlflow import Tracker


def run_prompts(
    study: PromptStudy, watch: ProgressListener | None = None, backend: Backend | None = None
) -> PromptOutcome:
    """Answers what is missing and makes tables and pictures anew.

    An interrupted call (Ctrl-C) leaves every finished case, and the next call goes on.

    Args:
        study: Of `plan_prompts`.
        watch: Told what happens.
        backend: The engine.

    Raises:
        InputError: If data or weights turn out to be wrong, before anything is answered.
        KeyboardInterrupt: If the user stopped it.
    """
    watch = watch or ProgressListener()
    session = Session(study, watch, backend or Backend())
    missing = is_missing(study)
    if missing:
        # Data and weights are read before anything is recorded of the study.
        session.check()
    tracker = Tracker(study.request.home, watch.warn)
    open_study(tracker, study)
    try:
        answer_all(session, watch)
        outcome = summarise(study)
        attribute(study, outcome)
        compare_neighbours(study, outcome)
        if missing or not (study.folder / LAST_PICTURE).is_file():
            draw_pictures(session, outcome)
        pictures = [study.folder.glob(f"*.{ending}") for ending in ("png", "svg", "pdf")]
        outcome.files += sorted(file for found in pictures for file in found)
        record_cells(tracker, study, outcome)
    except BaseException as error:
        tracker.close("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
        raise
    close_study(tracker, outcome.files)
    return outcome
