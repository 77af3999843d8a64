"""Tracking of a prompt study in MLflow: a parent run with one run per cell."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spsam.studies.prompts.cells import PromptCell
from spsam.studies.prompts.plan_prompts import PromptStudy
from spsam.studies.prompts.summary import PromptOutcome
from spsam.text.classes import class_metrics
from spsam.tracking.mlflow import Tracker


def open_study(tracker: Tracker, study: PromptStudy) -> None:
    """Opens the study's parent run."""
    data = study.subject.config.data
    tags = {
        "kind": "prompts",
        "data": data.name,
        "data_fingerprint": data.fingerprint,
        "network": study.subject.label,
    }
    tracker.open(f"prompts {study.name}", study.name, tags)


def record_cells(tracker: Tracker, study: PromptStudy, outcome: PromptOutcome) -> None:
    """Records every cell that the study's parent run lacks."""
    records = json.loads(outcome.table.to_json(orient="records"))
    # The columns contain the unique labels of the classes.
    columns = {
        name: name.removeprefix("dice: ")
        for name in map(str, outcome.table.columns)
        if name.startswith("dice: ")
    }
    for cell, record in zip(study.cells, records, strict=True):
        if not tracker.on:
            return
        key = _key(study, cell)
        if tracker.recorded(key):
            continue
        tracker.begin(key, str(cell), tags=_tags(cell), params=_params(study, cell))
        metrics = class_metrics(["background", *columns.values()], "dice")
        scores = {"dice/mean": record["dice"]} | {
            metric: record[column] for metric, column in zip(metrics, columns, strict=True)
        }
        # In 0…1, as for the runs of an ablation.
        tracker.finish(
            "FINISHED", {name: value / 100 for name, value in scores.items() if value is not None}
        )


def close_study(tracker: Tracker, files: Sequence[Path]) -> None:
    """Ends the parent run, with tables and figures as artifacts."""
    tracker.close("FINISHED", files)


def _key(study: PromptStudy, cell: PromptCell) -> str:
    """Returns a hash of the cell, its seeds and the cases."""
    keys = [study.key(cell, seed) for seed in study.seeds(cell)]
    return hashlib.sha256(" ".join([*keys, *study.cases]).encode()).hexdigest()[:16]


def _tags(cell: PromptCell) -> dict[str, str]:
    return {
        "prompts": cell.prompts,
        "point": cell.point or "",
        "mask": cell.mask or "",
        "source": cell.source.label,
    }


def _params(study: PromptStudy, cell: PromptCell) -> dict[str, Any]:
    disturbance = cell.source.disturbance
    amounts = disturbance.model_dump(mode="json") if disturbance else {}
    return {
        "prompts": cell.prompts,
        "point": cell.point,
        **{f"point.{key}": value for key, value in cell.strategy.params.items() if cell.point},
        "source": cell.source.kind,
        **{f"disturbance.{key}": value for key, value in amounts.items()},
        "mask": cell.mask,
        "mask_logit": study.config.mask_logit,
        "seeds": len(study.seeds(cell)),
        "cases": len(study.cases),
        "network": study.subject.identity,
    }
