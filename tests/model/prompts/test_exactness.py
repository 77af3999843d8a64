"""Points and boxes against SciPy and against each other: arrays and tensors, thin and thick."""

from __future__ import annotations

from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, find_objects

from spsam.model.prompts.edt import EdtPrompt
from spsam.model.prompts.extract import RULES, Prompts
from spsam.model.prompts.rules import distance, torch_points
from spsam.registry.catalogue import Catalogue
from spsam.registry.resolve import resolve

from .label_maps import CLASSES, label_maps

Labels = NDArray[np.int64]

on_device = pytest.mark.parametrize(
    "device",
    [
        "cpu",
        pytest.param("cuda", marks=pytest.mark.gpu),
    ],
)


def scipy_distance(image: Labels) -> NDArray[np.int64]:
    """Squared, to another label; the outside of the image is one."""
    squared = np.zeros(image.shape, dtype=np.int64)
    for k in np.unique(image):
        padded = distance_transform_edt(np.pad(image == k, 1))[1:-1, 1:-1]
        squared += np.rint(padded**2).astype(np.int64)
    return squared


def scipy_prompts(labels: Labels) -> Prompts[NDArray[Any]]:
    points = np.zeros((len(labels), CLASSES, 2), dtype=np.int64)
    boxes = np.zeros((len(labels), CLASSES, 4), dtype=np.int64)
    present = np.zeros((len(labels), CLASSES), dtype=bool)
    for n, image in enumerate(labels):
        squared = scipy_distance(image)
        for k, found in enumerate(find_objects(image + 1, CLASSES)):
            if found is None:
                continue
            row, column = divmod(int(np.where(image == k, squared, 0).argmax()), image.shape[1])
            points[n, k] = column, row
            boxes[n, k] = [found[1].start, found[0].start, found[1].stop - 1, found[0].stop - 1]
            present[n, k] = True
    return Prompts(points, boxes, present)


def assert_same(wanted: Prompts[Any], got: Prompts[Any]) -> None:
    for name in ("points", "boxes", "present", "extra_points", "extra_labels"):
        a, b = getattr(wanted, name), getattr(got, name)
        assert (a is None) == (b is None), name
        if a is not None:
            b = b.cpu().numpy() if isinstance(b, torch.Tensor) else b
            assert np.array_equal(a, b), name


def without_host(prompt: Any, labels: Labels, device: str = "cpu") -> Prompts:
    """What tensors on a GPU take, on any device."""
    result: Prompts = prompt._on_device(torch.from_numpy(labels).to(device))
    return result


def check_exact(labels: Labels, device: str = "cpu") -> None:
    wanted = scipy_prompts(labels)
    prompt = EdtPrompt(CLASSES)
    assert_same(wanted, prompt.extract(labels))
    assert_same(wanted, without_host(prompt, labels, device))


@given(labels=label_maps())
def test_points_and_boxes_are_scipys(labels: Labels) -> None:
    check_exact(labels)


@pytest.mark.slow
@given(labels=label_maps())
@settings(max_examples=2000, suppress_health_check=[HealthCheck.too_slow])
def test_points_and_boxes_are_scipys_on_two_thousand_maps(labels: Labels) -> None:
    check_exact(labels)


@pytest.mark.gpu
@given(labels=label_maps())
def test_a_gpu_chooses_the_same(labels: Labels) -> None:
    check_exact(labels, "cuda")


def smooth_map(shape: tuple[int, int], cell: int, seed: int) -> Labels:
    """Blocks of random labels: thick objects with corners."""
    small = np.random.default_rng(seed).integers(
        0, CLASSES, (1, shape[0] // cell + 1, shape[1] // cell + 1)
    )
    return small.repeat(cell, axis=1).repeat(cell, axis=2)[:, : shape[0], : shape[1]]


@on_device
@pytest.mark.parametrize(
    ("shape", "cell"),
    [((300, 270), 300), ((300, 270), 131), ((129, 300), 90), ((200, 200), 17), ((1, 300), 40)],
)
def test_large_objects_are_exact(device: str, shape: tuple[int, int], cell: int) -> None:
    """Beyond what 16-bit integers hold, and beyond `THIN`."""
    labels = smooth_map(shape, cell, seed=cell)
    check_exact(labels, device)
    squared = scipy_distance(labels[0])
    assert np.array_equal(distance.squared_distance(labels[0].astype(np.uint8)), squared)
    on_tensor = torch_points.squared_distance(torch.from_numpy(labels).to(device))
    assert np.array_equal(on_tensor[0].cpu(), squared)


@given(labels=label_maps(), thin=st.integers(1, 5))
def test_thin_and_thick_objects_meet_without_a_seam(labels: Labels, thin: int) -> None:
    with mock.patch.object(distance, "THIN", thin):
        for image in labels:
            got = distance.squared_distance(image.astype(np.uint8))
            assert np.array_equal(got, scipy_distance(image))


@given(labels=label_maps(), pixels=st.integers(1, 300))
def test_parts_do_not_change_the_result(labels: Labels, pixels: int) -> None:
    wanted = without_host(EdtPrompt(CLASSES), labels)
    with mock.patch.object(torch_points, "HOST_PIXELS", pixels):
        assert_same(wanted.map(torch.Tensor.numpy), without_host(EdtPrompt(CLASSES), labels))


@pytest.mark.parametrize("rule", sorted(set(RULES) - {"random"}))
@given(labels=label_maps())
def test_tensors_get_the_same_points_without_the_host(rule: str, labels: Labels) -> None:
    prompt = RULES[rule](CLASSES)
    assert_same(prompt.extract(labels), without_host(prompt, labels))


def test_every_shipped_component_is_a_rule_of_the_public_function() -> None:
    shipped = {card.name: resolve(card) for card in Catalogue.load().cards("prompt")}
    assert shipped == RULES
