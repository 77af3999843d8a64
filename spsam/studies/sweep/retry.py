"""A trial that was interrupted, died or failed is tried again, with the same values."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

RETRY_OF = "retry_of"
"""The number of the trial that a trial repeats."""

_TRIES = "tries"
_MOST = 3


def retry(study: Study, trial: FrozenTrial) -> bool:
    """Puts a trial's values into the queue, at most three times.

    The same values are the same run, which resumes from its last checkpoint.

    Returns:
        Whether it is in the queue.
    """
    tries = int(trial.user_attrs.get(_TRIES, 0)) + 1
    if tries <= _MOST:
        study.enqueue_trial(trial.params, user_attrs={RETRY_OF: trial.number, _TRIES: tries})
    return tries <= _MOST


def retry_failed(study: Study) -> list[int]:
    """Puts trials that failed in an earlier start into the queue: a disk may have been full.

    The caller holds the lock under which trials are taken.

    Returns:
        Their numbers.
    """
    from optuna.trial import TrialState

    trials = study.get_trials(deepcopy=False)
    known = {trial.user_attrs.get(RETRY_OF) for trial in trials}
    failed = [t for t in trials if t.state == TrialState.FAIL and t.number not in known]
    return [trial.number for trial in failed if trial.params and retry(study, trial)]
