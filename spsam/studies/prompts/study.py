"""Runs a planned study of prompts: answers, tables, pictures, and the same in MLflow."""

from __future__ import annotations

from spsam.studies.backend import Backend
from spsam.studies.prompts.plan import PromptStudy
from spsam.studies.prompts.run import Session, answer_all
from spsam.studies.prompts.summary import PromptOutcome, summarise
from spsam.studies.watch import Watcher


def run_prompts(
    study: PromptStudy, watch: Watcher | None = None, backend: Backend | None = None
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
    watch = watch or Watcher()
    session = Session(study, watch, backend or Backend())
    answer_all(session, watch)
    return summarise(study)
