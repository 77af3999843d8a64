"""A trial whose worker was interrupted or died is tried again, with the same values."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

RETRY_OF = "retry_of"
"""The number of the trial that a trial repeats."""

_TRIES = "tries"
_MOST = 3


def retry(study: Study, trial: FrozenTrial) -> None:
    """Puts a trial's values into the queue, at most three times.

    The same values are the same run: it goes on from its last checkpoint.
    """
    tries = int(trial.user_attrs.get(_TRIES, 0)) + 1
    if tries <= _MOST:
        study.enqueue_trial(trial.params, user_attrs={RETRY_OF: trial.number, _TRIES: tries})
