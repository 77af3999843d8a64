"""Scores of validation cases during a training."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from spsam.config.schema import RunConfig
from spsam.data.cases import Case
from spsam.data.preparation.store import PreparedStore
from spsam.engine.predict import predict_labels
from spsam.engine.training.progress import random_state, set_random_state
from spsam.metrics.dice import dice
from spsam.metrics.regions import of_regions
from spsam.model.networks.base import Network


def validation_dice(
    network: Network, store: PreparedStore, cases: Sequence[Case], config: RunConfig
) -> float:
    """Computes the mean Dice over foreground classes or regions, like a run's final scores.

    The states of the random generators are restored, so that validation does not affect the
    training.

    Args:
        network: The network; its mode is restored.
        store: Prepared images.
        cases: Validation cases of the split.
        config: The run's configuration.

    Returns:
        Mean Dice in 0…1; NaN if the convention excludes all classes.
    """
    was_training, generators = network.training, random_state()
    scores = []
    try:
        for case in cases:
            prepared = store.case(case.id)
            labels = predict_labels(network, prepared, config)
            reference = case.load().label
            assert reference is not None
            measure = partial(dice, convention=config.arm.evaluation.convention)
            pair = (labels, reference, config.data.num_classes)
            scores.append(of_regions(measure, *pair, config.data.region_classes)[1:])
    finally:
        network.train(was_training)
        set_random_state(generators)
    values = np.ma.masked_invalid(np.array(scores))
    return float(np.ma.filled(values.mean(axis=0).mean(), np.nan))
