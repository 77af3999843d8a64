"""The storage of a sweep's Optuna study, and the check that the study may be continued."""

from __future__ import annotations

import json
import logging
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from spsam.errors import InputError, Problem
from spsam.studies.sweep.address import JOURNAL, is_database, shown_storage
from spsam.studies.sweep.journal import Warn, open_journal
from spsam.studies.sweep.retry import retry
from spsam.text.json_text import parse_json
from spsam.text.secrets import masked

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial
    from sqlalchemy.exc import DBAPIError

    from spsam.studies.sweep.plan_sweep import Sweep

SIGNATURE = "spsam"
START = "start"
"""Attribute of the trial with the values of the unchanged arm."""
_HEARTBEAT_SECONDS = 30
_TRIES, _TRY_AGAIN_SECONDS = 5, 1.0


def open_storage(storage: str | None, folder: Path, warn: Warn) -> BaseStorage:
    """Opens or creates a storage.

    Args:
        storage: Path of a journal file, or URL of a database; None: a journal in the folder.
        folder: The sweep's folder.
        warn: Called with a message if an incomplete entry was removed.

    Raises:
        InputError: If it is not writable, reachable or valid.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if storage is not None and is_database(storage):
        return _open_database(storage, folder)
    path = Path(storage) if storage is not None else folder / JOURNAL
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab"):
            pass
    except OSError as error:
        raise InputError(
            Problem(
                f"cannot be written ({error.strerror}), but stores the sweep's trials: set another "
                "place with --storage or --out",
                path,
            )
        ) from error
    try:
        storage_of: BaseStorage = open_journal(path, warn)
        return storage_of
    except (ValueError, KeyError, TypeError, AssertionError) as error:
        raise InputError(Problem("is not a journal of Optuna's", path)) from error


def open_study(sweep: Sweep, warn: Warn = lambda text: None) -> Study:
    """Opens or creates the Optuna study of a sweep.

    Args:
        sweep: The sweep.
        warn: Called with a message if an incomplete entry was removed.

    Raises:
        InputError: If the storage fails, or contains a different study of this name.
    """
    import optuna
    from optuna.study import StudyDirection

    storage = open_storage(sweep.request.storage, sweep.folder, warn)
    sweep.folder.mkdir(parents=True, exist_ok=True)
    upwards = [objective == "dice" for objective in sweep.config.objectives]
    directions = [StudyDirection.MAXIMIZE if up else StudyDirection.MINIMIZE for up in upwards]
    # Prevents two simultaneous calls from both creating the study.
    with FileLock(sweep.folder / "study.lock"):
        known = {summary.study_name for summary in optuna.get_all_study_summaries(storage)}
        if sweep.name in known:
            study = optuna.load_study(study_name=sweep.name, storage=storage)
        else:
            study = optuna.create_study(
                storage=storage, study_name=sweep.name, directions=directions
            )
        # Without trials, the study is new, or the process that created it was killed meanwhile.
        if not study.get_trials(deepcopy=False) and study.directions == directions:
            if SIGNATURE not in study.user_attrs:
                study.set_user_attr(SIGNATURE, json.dumps(sweep.signature()))
            _same(sweep, study)
            start = sweep.start()
            if start is not None:
                # The unchanged arm comes first, as the baseline of all other trials.
                study.enqueue_trial(start, user_attrs={START: True})
    _same(sweep, study)
    return study


def _same(sweep: Sweep, study: Study) -> None:
    text = study.user_attrs.get(SIGNATURE)
    where = shown_storage(sweep.request.storage, sweep.folder)
    advice = "undo the change, or give the new study another --name"
    if text is None:
        raise InputError(f"the study '{sweep.name}' in {where} was not created by spsam; {advice}")
    old, new = parse_json(text), json.loads(json.dumps(sweep.signature()))
    changed = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    if changed:
        told = [
            Problem(
                f"the study '{sweep.name}' in {where} was begun with another {key}: "
                f"{_shown(old, key)} then, {_shown(new, key)} now; {advice}"
            )
            for key in changed
        ]
        raise InputError(told)


def _shown(signature: dict[str, Any], key: str) -> str:
    return json.dumps(signature[key]) if key in signature else "nothing"


def _open_database(url: str, folder: Path) -> BaseStorage:
    from sqlalchemy.exc import DBAPIError, SQLAlchemyError

    shown = shown_storage(url, folder)
    # Otherwise, creating the schema would log a line at every start.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    try:
        for _ in range(_TRIES):
            try:
                return _database(url)
            except DBAPIError as error:
                if not _is_being_made(error):
                    raise
                time.sleep(_TRY_AGAIN_SECONDS)
        return _database(url)
    except ImportError as error:
        reason = masked(str(error), url)
        raise InputError(
            f"--storage {shown}: the database's driver is not installed: {reason}; "
            "for PostgreSQL psycopg2-binary, for MySQL pymysql"
        ) from error
    except (SQLAlchemyError, ValueError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        reason = masked(reason, url)
        raise InputError(f"--storage {shown}: cannot be opened: {reason}") from error


def _is_being_made(error: DBAPIError) -> bool:
    """Whether the error is caused by another process that is creating the tables right now."""
    from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

    # MySQL reports an existing table as an operational error, and a rejected password likewise.
    told = isinstance(error, OperationalError) and "already exists" in str(error)
    return told or isinstance(error, IntegrityError | ProgrammingError)


def _database(url: str) -> BaseStorage:
    import optuna

    with warnings.catch_warnings():
        # The heartbeat is experimental; it reveals dead workers on other machines.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.storages.RDBStorage(
            url,
            heartbeat_interval=_HEARTBEAT_SECONDS,
            heartbeat_stale_trial_callback=_retry,
        )


def _retry(study: Study, trial: FrozenTrial) -> None:
    retry(study, trial)
