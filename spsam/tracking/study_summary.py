"""The overview of a study in MLflow: its best arm, its data set and links to its runs."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spsam.text.escape import one_line

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_SCORES = {
    "dice/mean": ("dice", 0.01),
    "dice/ci_low": ("ci_low", 0.01),
    "dice/ci_high": ("ci_high", 0.01),
    "dice/gain": ("change", 0.01),
    "dice/gain_p_holm": ("p_holm", 1.0),
    "hd95/mean": ("hd95", 1.0),
}
"""Metric -> (column of the ablation's table, factor that converts its unit to MLflow's)."""

_OF_CLASS = "dice: "
_MEANINGLESS = "smoke"
_MARKS = str.maketrans({sign: f"\\{sign}" for sign in "\\`*_{}[]()#+!|<>"})


@dataclass(frozen=True)
class StudySummary:
    """Summary of a study.

    Attributes:
        best: The arm with the highest mean Dice.
        scores: Scores of this arm: metric -> value, Dice in 0…1; `dice/gain` is the difference to
            its parent.
        runs: Ids of this arm's runs.
        data: Name of the data set.
        fingerprint: Fingerprint of the data set.
        split: Name and hash of the split.
        preset: Name of the preset.
    """

    best: str
    scores: Mapping[str, float]
    runs: Sequence[str]
    data: str
    fingerprint: str
    split: str
    preset: str


def summary_of(lines: Iterable[Mapping[str, Any]], about: Mapping[str, Any]) -> StudySummary | None:
    """Returns the summary of a study; None while no arm has a score.

    Args:
        lines: Rows of the ablation's table, by column, with Dice in percent; text is converted.
        about: The content of the study's `ablation.json`.
    """
    scored = [line for line in lines if not math.isnan(_number(line.get("dice")))]
    if not scored:
        return None
    line = max(scored, key=lambda each: _number(each["dice"]))
    scores = {name: scale * _number(line.get(key)) for name, (key, scale) in _SCORES.items()}
    for key in line:
        if key.startswith(_OF_CLASS):
            scores[f"dice/{key.removeprefix(_OF_CLASS)}"] = _number(line[key]) / 100
    best, data = str(line["arm"]), about["data"]
    return StudySummary(
        best=best,
        scores={name: score for name, score in scores.items() if not math.isnan(score)},
        runs=tuple(run for arm in about["arms"] if arm["name"] == best for run in arm["run_ids"]),
        data=str(data["name"]),
        fingerprint=str(data["fingerprint"]),
        split=f"{data['split_name']}, {data['split_hash']}",
        preset=str(about.get("preset", "")),
    )


def write_summary(
    client: MlflowClient, number: str, summary: StudySummary, links: Mapping[str, str]
) -> None:
    """Writes tags, description and data set of a study's run; metrics are not written here.

    Args:
        client: A client of the store.
        number: MLflow's id of the study's run.
        summary: The summary to write.
        links: Run id -> address on MLflow's pages.
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag

    client.set_tag(number, "best_arm", one_line(summary.best))
    client.set_tag(number, "mlflow.note.content", _note(summary, links))
    data = Dataset(
        name=one_line(summary.data),
        digest=summary.fingerprint,
        source_type="spsam",
        source=json.dumps({"name": summary.data, "split": summary.split}),
    )
    used = DatasetInput(dataset=data, tags=[InputTag("mlflow.data.context", "training and test")])
    client.log_inputs(number, datasets=[used])


def _note(summary: StudySummary, links: Mapping[str, str]) -> str:
    scores = summary.scores
    lines = [f"Best arm: **{_shown(summary.best)}**, mean Dice {100 * scores['dice/mean']:.2f}%"]
    if "dice/ci_low" in scores:
        lines[0] += f" [{100 * scores['dice/ci_low']:.2f}, {100 * scores['dice/ci_high']:.2f}]"
    if "dice/gain" in scores:
        lines.append(f"Gain over its parent: {100 * scores['dice/gain']:+.2f} points")
    if summary.preset == _MEANINGLESS:
        lines.append(
            "**The preset `smoke` only checks that everything runs. Its scores mean nothing.**"
        )
    lines.append(f"Data: {_shown(summary.data)}, fingerprint {summary.fingerprint}")
    runs = [f"[{run}]({links[run]})" for run in summary.runs if run in links]
    if runs:
        lines.append(f"Runs of this arm: {', '.join(runs)}")
    lines.append("Tables, figures and cases: `spsam report` writes the page of the study.")
    return "\n\n".join(lines)


def _shown(text: str) -> str:
    return one_line(text).translate(_MARKS)


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan
