"""Execution of a planned prompt study: results, tables, figures, and tracking in MLflow."""

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
    """Evaluates the missing cells, and updates tables and figures.

    An interrupted call (Ctrl-C) keeps every finished case, and the next call resumes.

    Args:
        study: The planned study, from `plan_prompts`.
        watch: Receives progress and messages.
        backend: The engine.

    Returns:
        The outcome, with tables and files.

    Raises:
        InputError: If data or weights are invalid, before the evaluation begins.
        KeyboardInterrupt: If the user interrupted it.
    """
    watch = watch or ProgressListener()
    session = Session(study, watch, backend or Backend())
    missing = is_missing(study)
    if missing:
        # Data and weights are checked before the study is recorded in MLflow.
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
