"""Scoring of a folder of predictions against a folder of references."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spsam.config.problems import gather, raise_all
from spsam.data.geometry import FATAL_OF_LABELS, VolumePlace, mismatches
from spsam.data.labels import IGNORED, class_indices, id_problems, whole_ids
from spsam.data.sources.label_maps import label_maps
from spsam.errors import InputError, Problem
from spsam.files import write_texts
from spsam.metrics.dice import CONVENTIONS
from spsam.studies.progress_events import ProgressListener
from spsam.studies.scored_classes import Ids, declared_ignore_id, read_classes
from spsam.text.classes import class_labels
from spsam.text.escape import csv_cell

if TYPE_CHECKING:
    from spsam.metrics.regions import Measure

# Metric -> unit, in the order of the table.
METRICS = {"dice": "", "iou": "", "hd95": "mm", "surface_dice": "", "volume_error": ""}


@dataclass(frozen=True)
class Score:
    """One score.

    Attributes:
        case: The reference's name.
        class_id: The class's id in the files; for a region its ids, e.g. `1+2`.
        class_name: The class's name, which is unique and not `mean`.
        metric: One of `METRICS`.
        value: The score; None if the convention excludes the class.
    """

    case: str
    class_id: int | str
    class_name: str
    metric: str
    value: float | None


@dataclass(frozen=True)
class Scoring:
    """A planned scoring.

    Attributes:
        pairs: (name, prediction, reference) of each case.
        classes: Ids in the files -> name, for each foreground class or region.
        convention: The score of an empty class.
        tolerance: Tolerance of the surface Dice in mm.
        notes: Notes for the user.
        ignore: The ignore label of the references; None if all voxels count.
    """

    pairs: Sequence[tuple[str, Path, Path]]
    classes: Mapping[Ids, str]
    convention: str
    tolerance: float
    notes: Sequence[str]
    ignore: int | None = None


def plan_scoring(
    predictions: Path,
    references: Path,
    *,
    classes: str | None = None,
    ignore: int | None = None,
    convention: str = "nnunet",
    tolerance: float | None = None,
) -> Scoring:
    """Pairs the files of two folders, without reading images.

    Args:
        predictions: Folder of label maps.
        references: Folder of label maps with the same names, optionally followed by `_gt`.
        classes: `NAME=ID,…`, for a region `NAME=ID+ID`; None: the classes recorded by `spsam
            predict`, or else the ids in the references.
        ignore: The ignore label of the references; None: the result of `declared_ignore_id`.
        convention: A key of `CONVENTIONS`.
        tolerance: Tolerance of the surface Dice in mm; None: the default.

    Raises:
        InputError: With every problem, such as a missing folder or a reference without prediction.
    """
    from spsam.metrics.surface import TOLERANCE

    problems: list[Problem] = []
    if predictions.is_dir() and references.is_dir() and predictions.samefile(references):
        message = "the predictions are in the folder of the references: use separate folders"
        problems.append(Problem(message, predictions))
    found: list[dict[str, Path]] = []
    for folder in (predictions, references):
        with gather(problems):
            found.append(label_maps(folder))
    named: dict[Ids, str] = {}
    with gather(problems):
        named = read_classes(classes, predictions)
    ignore = declared_ignore_id(predictions, references) if ignore is None else ignore
    of = next((f"'{name}'" for ids, name in named.items() if ignore in ids), None)
    if ignore is not None and (ignore == 0 or of):
        of = of or "the background"
        problems.append(Problem(f"--ignore {ignore}: is the id of {of}; expected another id"))
    if convention not in CONVENTIONS:
        problems.append(
            Problem(f"--convention {convention}: expected one of {', '.join(CONVENTIONS)}")
        )
    raise_all(problems)
    made, wanted = found
    missing = sorted(wanted.keys() - made.keys())
    if missing:
        shown = ", ".join(missing[:5]) + (", …" if len(missing) > 5 else "")
        raise InputError(
            Problem(
                f"{len(missing)} of {len(wanted)} references have no prediction here: {shown}",
                predictions,
            )
        )
    same = [name for name in sorted(wanted) if made[name].samefile(wanted[name])]
    if same:
        message = "is its own reference; give predictions"
        raise InputError([Problem(message, made[name]) for name in same])
    more = sorted(made.keys() - wanted.keys())
    notes = [f"skipped {len(more)} predictions without a reference"] if more else []
    pairs = [(name, made[name], wanted[name]) for name in sorted(wanted)]
    labels = class_labels(["background", *named.values()])[1:]
    named = dict(zip(named, labels, strict=True))
    distance = TOLERANCE if tolerance is None else tolerance
    return Scoring(pairs, named, convention, distance, notes, ignore)


def score(scoring: Scoring, watch: ProgressListener | None = None) -> list[Score]:
    """Scores every pair.

    Raises:
        InputError: With every unreadable file, difference of grids, and id that is not a class.
    """
    watch = watch or ProgressListener()
    for note in scoring.notes:
        watch.warn(note)
    problems: list[Problem] = []
    volumes = dict(scoring.classes) or _ids_of_references(scoring, watch, problems)
    flat = [(name, each) for ids, name in volumes.items() for each in ids]
    problems += id_problems([name for name, _ in flat], [each for _, each in flat], None)
    scores: list[Score] = []
    for number, pair in enumerate(scoring.pairs):
        watch.stage("scoring", number, len(scoring.pairs))
        with gather(problems):
            scores += _case(pair, volumes, scoring, watch)
    raise_all(problems)
    watch.stage("scoring", len(scoring.pairs), len(scoring.pairs))
    return scores


def _ids_of_references(
    scoring: Scoring, watch: ProgressListener, problems: list[Problem]
) -> dict[Ids, str]:
    """Returns all foreground ids in the references, each with itself as the name."""
    from spsam.data.files.image import read_array

    ids: set[int] = set()
    for number, (_, _, reference) in enumerate(scoring.pairs):
        watch.stage("reading references", number, len(scoring.pairs))
        with gather(problems):
            ids |= set(whole_ids(read_array(reference)[0], reference).values())
    return {(value,): str(value) for value in sorted(ids - {0, scoring.ignore})}


def means(scores: Sequence[Score]) -> dict[str, dict[str, float | None]]:
    """Returns the mean of each metric over the cases, by class, and over all classes (`mean`)."""
    found: dict[str, dict[str, float | None]] = {}
    for name in dict.fromkeys(each.class_name for each in scores):
        own = [each for each in scores if each.class_name == name]
        found[name] = {
            metric: _mean(each.value for each in own if each.metric == metric) for metric in METRICS
        }
    found["mean"] = {
        metric: _mean(each[metric] for each in list(found.values())) for metric in METRICS
    }
    return found


def to_json(scoring: Scoring, scores: Sequence[Score]) -> dict[str, Any]:
    """Returns the scores and their means as plain values."""
    return {
        "convention": scoring.convention,
        "ignore": scoring.ignore,
        "surface_dice_tolerance_mm": scoring.tolerance,
        "cases": len(scoring.pairs),
        "means": means(scores),
        "scores": [asdict(each) for each in scores],
    }


def write_scores(folder: Path, scoring: Scoring, scores: Sequence[Score]) -> list[Path]:
    """Writes `scores.csv`, with one line per score, and `scores.json`, which includes the means."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(["case", "class_id", "class_name", "metric", "value", "convention"])
    for each in scores:
        value = "" if each.value is None else f"{each.value:.6g}"
        names = [csv_cell(each.case), each.class_id, csv_cell(each.class_name)]
        row = [*names, each.metric, value, scoring.convention]
        lines.writerow(row)
    files = [folder / "scores.csv", folder / "scores.json"]
    means_too = json.dumps(to_json(scoring, scores), indent=1) + "\n"
    write_texts({files[0]: text.getvalue(), files[1]: means_too})
    return files


def _case(
    pair: tuple[str, Path, Path],
    classes: Mapping[Ids, str],
    scoring: Scoring,
    watch: ProgressListener,
) -> list[Score]:
    from spsam.data.files.image import read_array

    name, prediction, reference = pair
    problems: list[Problem] = []
    maps, places = [], []
    present = dict.fromkeys(each for ids in classes for each in ids)
    class_of = {each: k for k, each in enumerate((0, *present))}
    regions: list[list[int]] = []
    if any(len(ids) > 1 for ids in classes):
        regions = [[class_of[each] for each in ids] for ids in classes]
    for path, what in ((prediction, "the prediction"), (reference, "its reference")):
        with gather(problems):
            array, geometry = read_array(path)
            places.append(VolumePlace(what, path, geometry))
            if path == reference and scoring.ignore is not None:
                class_of[scoring.ignore] = IGNORED
            maps.append(class_indices(array, path, class_of))
    if len(places) == 2:
        # A differing orientation is common in published references, and only a warning.
        errors, warnings = mismatches(places[0], places[1], FATAL_OF_LABELS)
        problems += errors
        for warning in warnings:
            watch.warn(str(warning))
    raise_all(problems)
    wanted = places[1].geometry
    longest = max(size * step for size, step in zip(wanted.shape, wanted.spacing, strict=True))
    if scoring.tolerance >= longest:
        watch.warn(
            f"{reference}: is {longest:.4g} mm long, and the tolerance of the surface Dice is "
            f"{scoring.tolerance:g} mm, so all surfaces agree; give a smaller --tolerance"
        )
    values = _values(maps[0], maps[1], (1 + len(present), regions), wanted.spacing, scoring)
    return [
        Score(name, _shown(ids), class_name, metric, _plain(values[metric][k]))
        for k, (ids, class_name) in enumerate(classes.items(), start=1)
        for metric in METRICS
    ]


def _values(
    prediction: NDArray[Any],
    reference: NDArray[Any],
    scored: tuple[int, Sequence[Sequence[int]]],
    spacing: Sequence[float],
    scoring: Scoring,
) -> dict[str, NDArray[Any]]:
    """Computes all metrics of the classes or regions, background first; `scored` is (K, T)."""
    from spsam.metrics.dice import counts, dice_of_counts
    from spsam.metrics.hausdorff import hd95
    from spsam.metrics.overlap import iou_of_counts, volume_error_of_counts
    from spsam.metrics.regions import of_regions
    from spsam.metrics.surface import surface_dice

    def measured(measure: Measure) -> NDArray[Any]:
        return of_regions(measure, prediction, reference, *scored)

    table = measured(lambda made, wanted, count: np.stack(counts(made, wanted, count)))
    both, predicted, referred = table
    return {
        "dice": dice_of_counts(both, predicted, referred, scoring.convention),
        "iou": iou_of_counts(both, predicted, referred, scoring.convention),
        "hd95": measured(partial(hd95, spacing=spacing)),
        "surface_dice": measured(
            partial(surface_dice, spacing=spacing, tolerance=scoring.tolerance)
        ),
        "volume_error": volume_error_of_counts(predicted, referred),
    }


def _shown(ids: Ids) -> int | str:
    return ids[0] if len(ids) == 1 else "+".join(map(str, ids))


def _plain(value: Any) -> float | None:
    return None if math.isnan(value) else float(value)


def _mean(values: Any) -> float | None:
    counted = [value for value in values if value is not None]
    return sum(counted) / len(counted) if counted else None
