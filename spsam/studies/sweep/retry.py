"""Retrying trials that were interrupted, died or failed, with the same values."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

RETRY_OF = "retry_of"
"""Attribute with the number of the trial that a trial repeats."""

_TRIES = "tries"
_MOST = 3


def retry(study: Study, trial: FrozenTrial) -> bool:
    """Enqueues a trial's values again, at most three times.

    The same values are the same run, which resumes from its last checkpoint.

    Returns:
        Whether they were enqueued.
    """
    tries = int(trial.user_attrs.get(_TRIES, 0)) + 1
    if tries <= _MOST:
        study.enqueue_trial(trial.params, user_attrs={RETRY_OF: trial.number, _TRIES: tries})
    return tries <= _MOST


def retry_failed(study: Study) -> list[int]:
    """Enqueues the trials that failed in an earlier call, e.g. because a disk was full.

    The caller holds the lock under which trials are taken.

    Returns:
        The numbers of these trials.
    """
    from optuna.trial import TrialState

    trials = study.get_trials(deepcopy=False)
    known = {trial.user_attrs.get(RETRY_OF) for trial in trials}
    failed = [t for t in trials if t.state == TrialState.FAIL and t.number not in known]
    return [trial.number for trial in failed if trial.params and retry(study, trial)]
