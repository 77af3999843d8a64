"""The built-in data set: procedural short-axis cardiac MR, identical on every machine.

With it, every command can be tried without a download. It has the difficulties of real data (thick
slices, weak borders, organs as bright as the target, an intensity bias field), but its scores do
not generalise to patients.
"""

from __future__ import annotations

import hashlib
import json
from functools import partial

import numpy as np
from scipy import ndimage

from spsam.data.cases import Case, DataSet
from spsam.data.sources.phantom_shapes import Array, draw_anatomy, heart_shapes, surroundings
from spsam.data.volume import Floats, Geometry, Labels, Volume

NAME = "phantom"
PATIENTS = 24
CLASSES = ("background", "RV", "MYO", "LV")
PHASES = ("ED", "ES")
SPLIT = {"train": 15, "val": 3, "test": 6}

# Increased whenever a volume changes, because it is part of the data's identity.
VERSION = 1
SEED = 20250202
# A slice is the mean over its thickness; the label is the anatomy at its centre.
_SUBSLICES = (-0.33, 0.0, 0.33)


def read() -> DataSet:
    """Return the data set with its split of patients: 15 training, 3 validation, 6 test."""
    patients = [f"phantom{index:02d}" for index in range(1, PATIENTS + 1)]
    cases = [
        Case(
            id=f"{patient}_{phase}",
            patient=patient,
            load=partial(make_volume, index, phase),
            geometry=partial(make_geometry, index),
        )
        for index, patient in enumerate(patients)
        for phase in PHASES
    ]
    ends = np.cumsum([0, *SPLIT.values()]).tolist()
    split = {
        part: tuple(patients[start:end])
        for part, start, end in zip(SPLIT, ends[:-1], ends[1:], strict=True)
    }
    parameters = {"version": VERSION, "seed": SEED, "patients": PATIENTS, "phases": PHASES}
    return DataSet(
        name=NAME,
        cases=tuple(cases),
        class_names=CLASSES,
        raw_ids=tuple(range(len(CLASSES))),
        channel_names=("MR",),
        modality="MR",
        fingerprint=hashlib.sha256(json.dumps(parameters).encode()).hexdigest()[:16],
        splits={NAME: split},
    )


def make_geometry(patient: int) -> Geometry:
    """Return the grid of a patient's volumes: 6–10 thick slices of 96–128 pixels."""
    rng = np.random.default_rng([SEED, patient, 0])
    slices = int(rng.integers(6, 11))
    height, width = (int(size) for size in rng.choice([96, 104, 112, 120, 128], 2))
    pixel = float(np.round(rng.uniform(1.35, 1.7), 4))
    thickness = float(rng.choice([8.0, 8.0, 9.0, 10.0]))
    return Geometry((slices, height, width), (thickness, pixel, pixel))


def make_volume(patient: int, phase: str) -> Volume:
    """Generate one volume, within tens of milliseconds.

    Args:
        patient: Index of the patient, from 0.
        phase: `ED` or `ES`, the relaxed or the contracted state of the same anatomy.
    """
    geometry = make_geometry(patient)
    anatomy = draw_anatomy(np.random.default_rng([SEED, patient, 1]))
    if phase == "ES":
        anatomy = anatomy.contracted(np.random.default_rng([SEED, patient, 2]))
    slices, height, width = geometry.shape
    pixel = geometry.spacing[1]
    rng = np.random.default_rng([SEED, patient, 3])
    # As in manual planning, some stacks start below the apex or end above the valves.
    first, last = rng.uniform(-0.05, 0.1), rng.uniform(0.92, 1.1)
    t = np.linspace(first, last, slices)
    step = float(t[1] - t[0])
    x: Array = ((np.arange(width, dtype=np.float64) - (width - 1) / 2) * pixel)[None, None, :]
    y: Array = ((np.arange(height, dtype=np.float64) - (height - 1) / 2) * pixel)[None, :, None]
    levels = _tissues(np.random.default_rng([SEED, patient, 4]))
    around = surroundings(anatomy, x, y, t[:, None, None], pixel)
    back = _paint(np.zeros(geometry.shape), around, levels)
    tissue: Array = np.zeros(geometry.shape)
    label: Labels = np.zeros(geometry.shape, np.int16)
    for offset in _SUBSLICES:
        shapes = heart_shapes(anatomy, x, y, (t + offset * step)[:, None, None], pixel)
        tissue += _paint(back.copy(), shapes, levels) / len(_SUBSLICES)
        if offset == 0.0:
            label = _label(shapes)
    noise = np.random.default_rng([SEED, patient, 5, PHASES.index(phase)])
    image = _acquire(tissue, noise)
    return Volume(image[None], label, geometry.spacing, geometry.origin, geometry.direction)


def _label(shapes: dict[str, Array]) -> Labels:
    label = np.zeros(shapes["rv"].shape, np.int16)
    label[shapes["rv"] > 0.5] = CLASSES.index("RV")
    label[shapes["epicardium"] > 0.5] = CLASSES.index("MYO")
    label[shapes["cavity"] > 0.5] = CLASSES.index("LV")
    return label


def _tissues(rng: np.random.Generator) -> dict[str, float]:
    """Draw the signal of each tissue.

    Liver and chest muscle overlap with myocardium, and the aorta overlaps with blood.
    """
    blood = rng.uniform(0.8, 1.0)
    muscle = rng.uniform(0.3, 0.46)
    return {
        "body": rng.uniform(0.6, 1.05),
        "inside": muscle * rng.uniform(0.75, 1.4),
        "lung": rng.uniform(0.05, 0.16),
        "vessels": blood,
        "liver": muscle * rng.uniform(0.85, 1.35),
        "aorta": blood * rng.uniform(0.85, 1.1),
        "heart_fat": rng.uniform(0.45, 0.9),
        "rv_wall": muscle,
        "rv": blood * rng.uniform(0.85, 1.05),
        "heart_wall": muscle,
        "atrium": blood,
        "cavity": blood,
        "papillary": 0.6 * muscle + 0.4 * blood,
    }


def _paint(signal: Array, shapes: dict[str, Array], levels: dict[str, float]) -> Array:
    """Paint structures onto a background in the order of `levels`, from back to front."""
    for name, value in levels.items():
        if name in shapes:
            signal += shapes[name] * (value - signal)
    return signal


def _acquire(tissue: Array, rng: np.random.Generator) -> Floats:
    """Simulate the acquisition: texture, blur, coil sensitivity, noise and intensity scale."""
    texture = _smooth_noise(rng, tissue.shape, (0.3, 1.6, 1.6))
    flow = _smooth_noise(rng, tissue.shape, (0.6, 6.0, 6.0))
    signal = tissue * (1 + 0.10 * texture + 0.10 * flow)
    signal = ndimage.gaussian_filter(signal, (0, *[rng.uniform(0.55, 0.95)] * 2))
    field = _smooth_noise(rng, tissue.shape, (2.5, 28.0, 28.0))
    ramp = np.linspace(0.25, -0.25, tissue.shape[1])[None, :, None] * rng.uniform(0.4, 1.4)
    signal = signal * np.exp(0.22 * field + ramp)
    sigma = rng.uniform(0.03, 0.06)
    real, imaginary = rng.normal(0, sigma, (2, *tissue.shape))
    magnitude = np.hypot(signal + real, imaginary)
    result: Floats = (rng.uniform(150, 900) * magnitude).astype(np.float32)
    return result


def _smooth_noise(
    rng: np.random.Generator, shape: tuple[int, ...], sigma: tuple[float, ...]
) -> Array:
    """Return Gaussian noise with the given smoothness and unit standard deviation."""
    # Very smooth fields are computed on a coarse grid, because the filter would dominate the cost.
    coarse = [max(1, int(width / 3)) for width in sigma]
    small = [-(-size // step) + 2 for size, step in zip(shape, coarse, strict=True)]
    noise = ndimage.gaussian_filter(
        rng.normal(size=small), [width / step for width, step in zip(sigma, coarse, strict=True)]
    )
    noise = ndimage.zoom(noise, [float(step) for step in coarse], order=1)
    noise = noise[tuple(slice(0, size) for size in shape)]
    result: Array = noise / max(float(noise.std()), 1e-6)
    return result
