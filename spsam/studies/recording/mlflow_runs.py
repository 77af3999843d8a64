"""Uploads of runs from their folders to MLflow, during the run, at its end, or later."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from spsam.engine.external_spec import TITLE
from spsam.errors import SpsamError
from spsam.results.run_folder import RunFolder
from spsam.results.scored import scored_names
from spsam.studies.recording.summary import is_finished
from spsam.text.classes import class_metrics
from spsam.tracking.mlflow import Ending, Tracker


def begin(
    tracker: Tracker,
    folder: RunFolder,
    config: Mapping[str, Any],
    tags: Mapping[str, str] | None = None,
    group: str = "",
) -> None:
    """Begins or resumes a run in MLflow.

    Args:
        tracker: An open tracker.
        folder: The run's folder.
        config: The content of the run's config.yaml.
        tags: Tags in addition to those of every run.
        group: The arm's name, if its seeds and folds form a group; empty: the run is placed
            directly below the study.
    """
    arm, data, seed = config["arm"]["name"], config["data"], config["seed"]
    record = folder.read()
    git = record.get("environment", {}).get("git") or {}
    weights = record.get("weights") or {}
    tracker.begin(
        folder.run_id,
        f"{arm} seed {seed}" + (f" fold {data['fold']}" if group and data["fold"] else ""),
        tags={
            "arm": arm,
            "seed": str(seed),
            "data": data["name"],
            "data_fingerprint": data["fingerprint"],
            "preset": config["preset"],
            "git_commit": str(git.get("commit", "")),
            "sam_weights": str(weights.get("origin", "")),
            **({"external": TITLE} if config.get("external") else {}),
            **(tags or {}),
        },
        params=dict(_flat(config)),
        group=group,
    )


def finish(tracker: Tracker, folder: RunFolder, config: Mapping[str, Any]) -> float:
    """Uploads what MLflow lacks of a finished run, and ends it there; returns its mean Dice."""
    tracker.epoch(*folder.read_metrics())
    scores = final_scores(folder, scored_names(config["data"]))
    tracker.finish(
        "FINISHED",
        {name: score for name, score in scores.items() if not math.isnan(score)},
        [folder.config, folder.record, folder.preview],
    )
    return scores["dice/mean"]


def final_scores(folder: RunFolder, names: Sequence[str]) -> dict[str, float]:
    """Returns a finished run's mean Dice, and the Dice of each class under its metric's name."""
    from spsam.reporting.means import class_means, mean_dice

    rows = folder.read_rows()
    means = class_means(rows, len(names)).tolist()
    scores = dict(zip(class_metrics(names, "dice"), means, strict=True))
    return {"dice/mean": mean_dice(rows, len(names)), **scores}


def mirror(  # noqa: PLR0917 - a run and its destination
    tracker: Tracker,
    folder: RunFolder,
    config: Mapping[str, Any],
    group: str,
    ending: Ending,
    tags: Mapping[str, str] | None = None,
) -> None:
    """Brings MLflow up to date with a run's folder; a run that is complete there is skipped.

    Args:
        tracker: An open tracker.
        folder: The run's folder.
        config: The content of the run's config.yaml.
        group: See `begin`.
        ending: The status of a run that is not finished; `RUNNING` keeps it open.
        tags: See `begin`.
    """
    if is_finished(folder):
        if not tracker.recorded(folder.run_id):
            begin(tracker, folder, config, tags, group)
            finish(tracker, folder, config)
        return
    begin(tracker, folder, config, tags, group)
    tracker.epoch(*folder.read_metrics())
    if ending != "RUNNING":
        tracker.finish(ending, files=[folder.error] if ending == "FAILED" else [])


class Mirror:
    """A background thread that keeps MLflow up to date; a slow or lost server delays no run.

    Args:
        tracker: The tracker to use.
        opening: Opens the tracker; called in the thread.
    """

    def __init__(self, tracker: Tracker, opening: Callable[[], None]) -> None:
        self._tracker = tracker
        self._opening = opening
        self._changed: dict[str, tuple[RunFolder, Mapping[str, Any], str, Ending]] = {}
        self._news = threading.Condition()
        self._over = False
        self._open = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, daemon=True, name="mlflow")
        self._thread.start()

    def opened(self, patience: float) -> None:
        """Waits until MLflow is open or has failed, so that a warning precedes the first run.

        Args:
            patience: Maximum time to wait, in seconds; a later failure causes a warning then.
        """
        self._open.wait(patience)

    def changed(
        self, folder: RunFolder, config: Mapping[str, Any], group: str, ending: Ending = "RUNNING"
    ) -> None:
        """Schedules the upload of a run; several changes of the same run become one upload."""
        with self._news:
            self._changed[folder.run_id] = (folder, config, group, ending)
            self._news.notify()

    def close(self) -> None:
        """Waits until all changes are uploaded.

        Raises:
            Exception: The exception that ended the thread, i.e. an error in the program.
        """
        with self._news:
            self._over = True
            self._news.notify()
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        try:
            self._opening()
            self._open.set()
            while True:
                with self._news:
                    while not self._changed and not self._over:
                        self._news.wait()
                    if not self._changed:
                        return
                    change = self._changed.pop(next(iter(self._changed)))
                try:
                    mirror(self._tracker, *change)
                except SpsamError:
                    continue  # the folder is damaged, which the study itself reports
        except Exception as error:  # boundary of the thread; `close` raises the error
            self._error = error
        finally:
            self._open.set()


def _is_block(value: Any) -> bool:
    return isinstance(value, Mapping) and set(value) == {"name", "params"}


def _flat(value: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _flat(item, f"{above}.{key}" if above else str(key))
    elif isinstance(value, list) and value and all(_is_block(item) for item in value):
        # Several components of a slot: the parameters of each are prefixed with its name.
        yield f"{above}.name", " + ".join(item["name"] for item in value)
        for item in value:
            yield from _flat(item["params"], f"{above}.{item['name']}.params")
    else:
        yield above, value
