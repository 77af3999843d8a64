from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy import ndimage

from spsam.data.dataset import open_dataset
from spsam.data.sources.phantom import PATIENTS, make_geometry, make_volume
from spsam.data.volume import Volume

SOME = range(0, PATIENTS, 4)


@pytest.fixture(scope="module")
def volumes() -> dict[tuple[int, str], Volume]:
    return {
        (patient, phase): make_volume(patient, phase) for patient in SOME for phase in ("ED", "ES")
    }


def label_of(volume: Volume) -> np.ndarray:
    assert volume.label is not None
    return volume.label


def test_the_data_set() -> None:
    dataset = open_dataset("phantom")
    assert len(dataset.cases) == 2 * PATIENTS
    assert dataset.class_names == ("background", "RV", "MYO", "LV")
    parts = dataset.splits["phantom"]
    named = [patient for part in parts.values() for patient in part]
    assert sorted(named) == sorted({case.patient for case in dataset.cases})
    assert len(named) == len(set(named))
    assert open_dataset("phantom").fingerprint == dataset.fingerprint


def test_a_volume_is_the_same_in_another_process() -> None:
    code = (
        "from spsam.data.sources.phantom import make_volume\n"
        "v = make_volume(2, 'ES')\n"
        "import hashlib; print(hashlib.sha256(v.image.tobytes() + v.label.tobytes()).hexdigest())"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout
        for _ in range(2)
    }
    assert len(outputs) == 1


def test_drawing_leaves_global_random_state_alone() -> None:
    np.random.seed(4)
    expected = np.random.random()
    np.random.seed(4)
    make_volume(0, "ED")
    assert np.random.random() == expected


def test_grids_are_thick_sliced_and_varied(volumes: dict[tuple[int, str], Volume]) -> None:
    for (patient, _), volume in volumes.items():
        assert volume.geometry == make_geometry(patient)
        slices, height, width = volume.geometry.shape
        assert 6 <= slices <= 10
        assert 96 <= min(height, width) <= max(height, width) <= 128
        assert 4 < volume.spacing[0] / volume.spacing[1] < 8
        assert np.isfinite(volume.image).all()
    assert len({volume.geometry for volume in volumes.values()}) > 3


def test_every_class_is_in_every_volume(volumes: dict[tuple[int, str], Volume]) -> None:
    for volume in volumes.values():
        share = np.bincount(label_of(volume).ravel(), minlength=4) / label_of(volume).size
        assert (share[1:] > 0.002).all()
        assert share[0] > 0.7


def test_the_heart_is_built_like_one(volumes: dict[tuple[int, str], Volume]) -> None:
    for volume in volumes.values():
        label = label_of(volume)
        for plane in label:
            cavity, muscle = plane == 3, plane == 2
            # The myocardium closes around the cavity: what it encloses is the cavity alone.
            inside = ndimage.binary_fill_holes(muscle) & ~muscle
            assert not (cavity & ~inside).any()
        # It grows from the apex, where no right ventricle is, to the base.
        areas = [(plane > 1).sum() for plane in label]
        assert areas[len(areas) // 4] < max(areas)
        assert (label[0] == 1).sum() < 0.3 * max((plane == 1).sum() for plane in label)


def test_the_ventricles_contract(volumes: dict[tuple[int, str], Volume]) -> None:
    for patient in SOME:
        relaxed, contracted = (label_of(volumes[patient, phase]) for phase in ("ED", "ES"))
        for value in (1, 3):
            assert (contracted == value).sum() < 0.9 * (relaxed == value).sum()


def test_patients_differ(volumes: dict[tuple[int, str], Volume]) -> None:
    ratios = [
        (label_of(volumes[patient, "ED"]) == 3).sum()
        / (label_of(volumes[patient, "ED"]) == 2).sum()
        for patient in SOME
    ]
    assert max(ratios) > 1.2 * min(ratios)


def test_no_threshold_finds_the_cavity(volumes: dict[tuple[int, str], Volume]) -> None:
    """The best band of intensities, chosen per volume with the reference, does badly."""
    scores = []
    for volume in volumes.values():
        image, target = volume.image[0].ravel(), label_of(volume).ravel() == 3
        edges = np.quantile(image, np.linspace(0, 1, 41))
        bins = np.clip(np.searchsorted(edges, image) - 1, 0, 39)
        hits = np.bincount(bins, target, minlength=40)
        total = np.bincount(bins, minlength=40)
        best = max(
            2 * hits[low:high].sum() / (total[low:high].sum() + target.sum())
            for low in range(40)
            for high in range(low + 1, 41)
        )
        scores.append(best)
    assert np.mean(scores) < 0.75
    # Nor is it hopeless: blood is brighter than muscle.
    for volume in volumes.values():
        label, image = label_of(volume), volume.image[0]
        assert image[label == 3].mean() > 1.3 * image[label == 2].mean()
