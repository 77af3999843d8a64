from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from spsam.config.schema import DataIdentity, RegionConfig, RunConfig
from spsam.engine.answer import answer_in_memory
from spsam.engine.evaluate import Evaluation, evaluate, read_labels
from spsam.engine.keep_largest import keep_largest, postprocessed
from spsam.engine.recipe import EnsembleMember, Recipe, check_ensemble
from spsam.engine.segment import segment
from spsam.engine.training.run_training import network_of
from spsam.engine.training.validate import validation_dice
from spsam.errors import InputError
from spsam.metrics.dice import dice_of_counts
from spsam.registry.arms import load_arm
from spsam.studies.backend import Backend
from spsam.studies.planning.planner import plan_ablation
from spsam.studies.planning.request import Request

Labels = NDArray[np.uint8]

maps = arrays.arrays(
    np.uint8,
    arrays.array_shapes(min_dims=3, max_dims=3, max_side=5),
    elements=st.sampled_from([0, 0, 0, 1, 2]),
)
some_classes = st.lists(st.sampled_from([1, 2, 3]), unique=True)


def components(mask: NDArray[np.bool_]) -> list[set[tuple[int, ...]]]:
    """By definition: voxels reached from one another by steps to any of 26 neighbours."""
    left = {tuple(place) for place in np.argwhere(mask).tolist()}
    found = []
    while left:
        border = {left.pop()}
        part = set(border)
        while border:
            z, y, x = border.pop()
            near = {(z + a, y + b, x + c) for a, b, c in itertools.product((-1, 0, 1), repeat=3)}
            border |= near & left
            part |= near & left
            left -= near
        found.append(part)
    return found


@given(labels=maps, classes=some_classes)
def test_the_largest_component_of_a_class_stays(labels: Labels, classes: Sequence[int]) -> None:
    before = labels.copy()
    kept = keep_largest(labels, classes)
    np.testing.assert_array_equal(labels, before)
    assert kept.dtype == labels.dtype
    for k in (1, 2):
        parts = components(labels == k)
        largest = max(map(len, parts), default=0)
        expected = set().union(*[p for p in parts if k not in classes or len(p) == largest])
        assert {tuple(place) for place in np.argwhere(kept == k).tolist()} == expected
    # Nothing else is named anew.
    assert set(np.unique(kept[kept != labels])) <= {0}
    np.testing.assert_array_equal(keep_largest(kept, classes), kept)


@given(labels=maps, axes=st.permutations(range(3)), flips=st.sets(st.sampled_from([0, 1, 2])))
def test_no_orientation_is_preferred(labels: Labels, axes: list[int], flips: set[int]) -> None:
    def turned(array: Labels) -> Labels:
        return np.flip(array.transpose(axes), tuple(flips))

    np.testing.assert_array_equal(
        keep_largest(turned(labels), [1, 2]), turned(keep_largest(labels, [1, 2]))
    )


def identity(*names: str, **more: Any) -> DataIdentity:
    return DataIdentity(
        name="", fingerprint="", split_name="", split_hash="", in_channels=1,
        num_classes=len(names), class_names=names, **more,
    )  # fmt: skip


def test_regions_are_connected_through_their_classes_and_taken_in_the_files_order() -> None:
    """As nnU-Net: what leaves a region becomes background, in every region."""
    labels = np.zeros((1, 1, 12), np.uint8)
    labels[0, 0] = [1, 2, 1, 0, 2, 2, 0, 1, 0, 0, 2, 0]
    regions = (
        RegionConfig(name="whole", classes=(1, 2)),
        RegionConfig(name="b", classes=(2,)),
    )
    data = identity("background", "label 1", "b", regions=regions)

    def kept(value: Any) -> list[int]:
        inference = load_arm("base", {"inference.keep_largest": value}).inference
        made: list[int] = postprocessed(labels, inference, data)[0, 0].tolist()
        return made

    assert kept(["whole"]) == [1, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    assert kept(["b"]) == [1, 0, 1, 0, 2, 2, 0, 1, 0, 0, 0, 0]
    assert kept(True) == kept(["whole", "b"]) == kept(["b", "whole"]) == kept(["whole"])


def test_classes_are_named_and_voxels_that_share_a_corner_are_connected() -> None:
    labels = np.zeros((3, 3, 6), np.uint8)
    labels[0, 0, 0] = labels[1, 1, 1] = 1
    labels[0, 2, 5] = 1
    labels[2, 0, 5] = labels[2, 2, 5] = labels[1, 2, 5] = 2
    data = identity("background", "a", "b")

    def kept(value: Any) -> list[int]:
        inference = load_arm("base", {"inference.keep_largest": value}).inference
        made = postprocessed(labels, inference, data)
        return [int((made == k).sum()) for k in (1, 2)]

    assert kept(False) == [3, 3]
    assert kept(True) == kept(["b", "a"]) == [2, 2]
    assert kept(["b"]) == [3, 2]
    assert postprocessed(labels, load_arm("base").inference, data) is labels


def test_scores_files_and_predictions_have_the_same_label_map(
    tmp_path: Path, prepared: Path
) -> None:
    """What is scored, written, answered in Python and validated is one map, without islands."""
    large = {"patch.max_size": 128}  # a volume in a few tiles
    ((_, run),) = plan_ablation(Request(["S1"], tmp_path, preset="smoke", overrides=large)).runs
    store = Backend().prepare(run.dataset, run.plan, prepared, lambda *_: None)
    network = network_of(run, "cpu")
    cases = [run.dataset.case(case) for case in run.split.test[:2]]

    def config(value: Any) -> RunConfig:
        inference = run.config.arm.inference.model_copy(update={"keep_largest": value})
        arm = run.config.arm.model_copy(update={"inference": inference})
        return run.config.model_copy(update={"arm": arm})

    def scored(value: Any) -> tuple[Evaluation, list[NDArray[np.integer]]]:
        folder = tmp_path / str(value)
        found = evaluate(
            network, store, cases, config(value), predictions=folder, on_progress=lambda _: None
        )
        files = [folder / f"{case.id}.nii.gz" for case in cases]
        return found, [read_labels(file, run.dataset.raw_ids) for file in files]

    _, plain = scored(False)
    found, kept = scored(True)
    for before, after in zip(plain, kept, strict=True):
        np.testing.assert_array_equal(after, keep_largest(before, [1, 2, 3]))
        assert (before != after).any()
    whole = [found.measures.counts[found.measures.case == n].sum(axis=0) for n in (0, 1)]
    dice = dice_of_counts(*np.moveaxis(np.array(whole), -1, 0))
    np.testing.assert_array_equal(dice, [score.dice for score in found.scores])
    assert validation_dice(network, store, cases, config(True)) == pytest.approx(
        np.nanmean([score.dice[1:] for score in found.scores])
    )
    recipe = Recipe(Path("x.pt"), config(True), run.plan, run.dataset.raw_ids, None, {}, 0)
    member = EnsembleMember(recipe, network)
    np.testing.assert_array_equal(answer_in_memory([member], cases[0]).labels, kept[0])
    segment([member], cases[0], tmp_path / "made", probabilities=True)
    np.testing.assert_array_equal(
        read_labels(tmp_path / "made.nii.gz", run.dataset.raw_ids), kept[0]
    )
    with pytest.raises(InputError, match=r"inference.keep_largest False, expected True"):
        check_ensemble([recipe, replace(recipe, config=config(False))])


def test_an_unknown_class_is_refused_with_those_there_are(tmp_path: Path) -> None:
    def plan(value: Any) -> list[str]:
        overrides = {"inference.keep_largest": value}
        request = Request(["S1"], tmp_path, preset="smoke", overrides=overrides)
        return [run.run_id for _, run in plan_ablation(request).runs]

    with pytest.raises(
        InputError, match=r"contains heart, but the classes of phantom are RV, MYO, L"
    ):
        plan(["LV", "heart"])
    for wrong in ([], ["LV", "LV"], "LV", [1]):
        with pytest.raises(InputError, match="keep_largest"):
            plan(wrong)
    assert plan(["LV", "RV"]) == plan(["RV", "LV"]) != plan(False)
