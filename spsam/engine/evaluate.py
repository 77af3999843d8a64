"""Scores of one run: every test case in its original grid."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from spsam.config.schema import RunConfig
from spsam.data.cases import Case, DataSet
from spsam.data.restore import restore_labels, write_labels
from spsam.data.store import PreparedStore
from spsam.engine.predict import predict_logits
from spsam.engine.preview import Example, choose, draw_preview
from spsam.metrics.dice import dice
from spsam.model.segmenter import Segmenter


@dataclass(frozen=True)
class CaseScore:
    """Dice of one case.

    Attributes:
        case: Its id.
        patient: Whose it is.
        dice: `(K,)`, background first, NaN where the convention leaves a class out.
    """

    case: str
    patient: str
    dice: NDArray[np.float64]

    def mean(self) -> float:
        """Mean over the foreground classes that count."""
        scored = self.dice[1:][~np.isnan(self.dice[1:])]
        return float(scored.mean()) if scored.size else float("nan")


def evaluate(
    network: Segmenter,
    store: PreparedStore,
    cases: Iterable[Case],
    config: RunConfig,
    *,
    predictions: Path,
    on_case: Callable[[int], None],
) -> list[CaseScore]:
    """Segments and scores cases; writes each label map as NIfTI in the case's own geometry.

    The reference is read again from the data set itself, so no step of the preparation stands
    between it and the score.

    Args:
        network: Trained.
        store: Prepared images.
        cases: What to score.
        config: The run's configuration.
        predictions: Folder for the label maps.
        on_case: Called with the number of cases done.

    Returns:
        One score a case, in the order given.
    """
    predictions.mkdir(parents=True, exist_ok=True)
    scores: list[CaseScore] = []
    for case in cases:
        prepared = store.case(case.id)
        image = torch.from_numpy(np.array(prepared.image, dtype=np.float32))
        logits = predict_logits(network, image, config.arm.inference, config.arm.train)
        labels = restore_labels(logits, prepared, network.mask_head.labels)
        write_labels(predictions / f"{case.id}.nii.gz", labels, prepared)
        reference = case.load().label
        assert reference is not None
        scores.append(
            CaseScore(
                case.id,
                case.patient,
                dice(labels, reference, config.data.num_classes, config.arm.evaluation.convention),
            )
        )
        on_case(len(scores))
    return scores


def preview(path: Path, scores: list[CaseScore], dataset: DataSet, *, predictions: Path) -> None:
    """Draws the best, the median and the worst case.

    Args:
        path: A PNG file.
        scores: Of `evaluate`.
        dataset: The data set that was scored.
        predictions: Folder that `evaluate` wrote.
    """
    examples = []
    for name, index in choose([score.mean() for score in scores]):
        score = scores[index]
        volume = dataset.case(score.case).load()
        assert volume.label is not None
        examples.append(
            Example(
                title=f"{name}: {score.case}\nmean Dice {100 * score.mean():.1f}",
                image=volume.image[0],
                reference=volume.label,
                prediction=read_labels(predictions / f"{score.case}.nii.gz", dataset.raw_ids),
                aspect=volume.spacing[1] / volume.spacing[2],
            )
        )
    draw_preview(path, examples, dataset.class_names)


def read_labels(path: Path, raw_ids: Sequence[int]) -> NDArray[np.integer]:
    """Reads what `evaluate` wrote.

    Args:
        path: A label map.
        raw_ids: For each class, the id it has in label files.

    Returns:
        `(D, H, W)` class indices, array axes (z, y, x).
    """
    import SimpleITK

    ids = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))
    labels: NDArray[np.integer] = np.zeros(ids.shape, np.int16)
    for k, raw_id in enumerate(raw_ids):
        labels[ids == raw_id] = k
    return labels
