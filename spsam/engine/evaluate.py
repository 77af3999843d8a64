"""Evaluation of one run: every test case is scored on its original grid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spsam.config.schema import DataIdentity, RunConfig
from spsam.data.ahead import ahead
from spsam.data.cases import Case, DataSet
from spsam.data.labels import without_ignored
from spsam.data.preparation.restore import write_labels
from spsam.data.preparation.store import PreparedStore
from spsam.data.volume import Volume
from spsam.engine.predict import predict_labels
from spsam.engine.preview import Example, choose, draw_preview
from spsam.engine.recording.counts import CaseCounts, as_prepared, gather
from spsam.engine.recording.pictures import picture, shown
from spsam.metrics.dice import dice
from spsam.metrics.hausdorff import CONVENTION as DIAGONAL
from spsam.metrics.hausdorff import hd95
from spsam.metrics.regions import of_regions
from spsam.model.networks.base import Network
from spsam.results.measures import Measures
from spsam.results.panels import Panel
from spsam.results.rows import Row


@dataclass(frozen=True)
class CaseScore:
    """Scores of one case.

    Attributes:
        case: Id of the case.
        patient: Id of the patient.
        dice: `(K,)`, background first, NaN for classes that the convention excludes; `(1 + T,)`
            for a data set with T regions.
        hd95: The same shape, mm; NaN for the background and for a class that occurs in neither
            label map.
    """

    case: str
    patient: str
    dice: NDArray[np.float64]
    hd95: NDArray[np.float64]

    def mean(self) -> float:
        """Returns the mean Dice over the scored foreground classes."""
        scored = self.dice[1:][~np.isnan(self.dice[1:])]
        return float(scored.mean()) if scored.size else float("nan")


@dataclass(frozen=True)
class Evaluation:
    """Results of a run's test cases.

    Attributes:
        scores: One entry per case.
        measures: Counts by slice and by confidence.
        panels: Slices to show in figures.
    """

    scores: list[CaseScore]
    measures: Measures
    panels: list[Panel]


def _share(tell: Callable[[float], None], before: int, done: int, tiles: int) -> None:
    if done < tiles:  # the case counts as finished once it is scored
        tell(before + done / tiles)


def evaluate(
    network: Network,
    store: PreparedStore,
    cases: Sequence[Case],
    config: RunConfig,
    *,
    predictions: Path,
    on_progress: Callable[[float], None],
) -> Evaluation:
    """Segments and scores cases; writes each label map as NIfTI with the case's own geometry.

    The reference is read again from the data set itself, so that no step of the preparation affects
    the scores.

    Args:
        network: The trained network.
        store: Prepared images.
        cases: Cases to score.
        config: The run's configuration.
        predictions: Folder for the label maps.
        on_progress: Called with the number of finished cases; the finished share of a case's tiles
            counts.

    Returns:
        The results, in the order of `cases`.
    """
    predictions.mkdir(parents=True, exist_ok=True)
    data, activation = config.data, network.mask_head.activation
    convention = config.arm.evaluation.convention
    scores: list[CaseScore] = []
    counts: list[CaseCounts] = []
    panels: list[Panel] = []
    to_show = shown(len(cases))
    # The next case is read while the network segments the current one.
    with closing(ahead(lambda case: case.load(), cases)) as reading:
        for case, taken in reading:
            prepared, volume = store.case(case.id), taken()
            assert volume.label is not None
            about = (data.num_classes, activation, data.region_classes)
            count = CaseCounts(prepared, volume.label, *about)
            labels = predict_labels(
                network, prepared, config, count.add, partial(_share, on_progress, len(scores))
            )
            if config.arm.inference.keep_largest:
                # Counts by slice refer to the written labels, confidence to the network's output.
                count.add_labels(0, as_prepared(labels, prepared))
            write_labels(predictions / f"{case.id}.nii.gz", labels, prepared)
            if len(scores) in to_show:
                panels.append(picture(network, prepared, volume, labels, config.arm.train))
            scores.append(case_score(case, volume, labels, data, convention))
            counts.append(count)
            on_progress(len(scores))
    return Evaluation(scores, gather(counts, len(data.scored_names), activation), panels)


def case_score(
    case: Case,
    volume: Volume,
    labels: NDArray[np.integer],
    data: DataIdentity,
    convention: str,
) -> CaseScore:
    """Scores a label map, of a run or of another program.

    Args:
        case: The case.
        volume: The case as acquired, with its reference; voxels with the ignore label do not count.
        labels: `(D, H, W)` class indices on the original grid, array axes (z, y, x).
        data: Defines the scored classes or regions.
        convention: Defines the score of an empty class.
    """
    assert volume.label is not None
    pair = (labels, volume.label, data.num_classes, data.region_classes)
    overlap = of_regions(partial(dice, convention=convention), *pair)
    distance = of_regions(partial(hd95, spacing=volume.spacing), *pair)
    return CaseScore(case.id, case.patient, overlap, distance)


def score_rows(
    scores: Sequence[CaseScore], data: DataIdentity, run_id: str, seed: int, convention: str
) -> list[Row]:
    """Converts scores to rows, case by case.

    Args:
        scores: Scores of the run's test cases.
        data: Defines the scored classes or regions.
        run_id: Id of the run.
        seed: Seed of the run.
        convention: Convention of the scores.
    """
    return [
        Row(
            run_id=run_id,
            seed=seed,
            fold=data.fold,
            case=score.case,
            patient=score.patient,
            class_id=k,
            class_name=name,
            metric=metric,
            convention=rule,
            value=float(values[k]),
        )
        for score in scores
        for metric, rule, values in (
            ("dice", convention, score.dice),
            ("hd95", DIAGONAL, score.hd95),
        )
        for k, name in enumerate(data.scored_names)
        if k or metric == "dice"
    ]


def preview(path: Path, scores: list[CaseScore], dataset: DataSet, *, predictions: Path) -> None:
    """Draws the best, the median and the worst case.

    Args:
        path: A PNG file.
        scores: Scores from `evaluate`.
        dataset: The data set that was scored.
        predictions: Folder written by `evaluate`.
    """
    examples = []
    for name, index in choose([score.mean() for score in scores]):
        score = scores[index]
        volume = dataset.case(score.case).load()
        assert volume.label is not None
        labels = read_labels(predictions / f"{score.case}.nii.gz", dataset.raw_ids)
        examples.append(
            Example(
                title=f"{name}: {score.case}\nmean Dice {100 * score.mean():.1f}",
                image=volume.image[0],
                reference=without_ignored(volume.label),
                prediction=without_ignored(labels, volume.label),
                aspect=volume.spacing[1] / volume.spacing[2],
            )
        )
    draw_preview(path, examples, dataset.class_names)


def read_labels(path: Path, raw_ids: Sequence[int]) -> NDArray[np.integer]:
    """Reads a label map written by `evaluate`.

    Args:
        path: The label map.
        raw_ids: The id in label files for each class.

    Returns:
        `(D, H, W)` class indices, array axes (z, y, x).
    """
    import SimpleITK

    ids = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))
    labels: NDArray[np.integer] = np.zeros(ids.shape, np.int16)
    for k, raw_id in enumerate(raw_ids):
        labels[ids == raw_id] = k
    return labels
