"""Small data sets that the tests write in the known layouts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK

SHAPE = (5, 20, 24)
SPACING = (8.0, 1.5, 1.5)


def write_image(
    path: Path,
    array: npt.NDArray[Any],
    spacing: Sequence[float] = SPACING,
    origin: Sequence[float] = (3.0, -4.0, 5.0),
    direction: Sequence[float] | None = None,
) -> Path:
    """Writes `(D, H, W)` or `(M, D, H, W)`; spacing is (z, y, x)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = SimpleITK.GetImageFromArray(array, isVector=False)
    extra = [1.0] * (array.ndim - 3)
    image.SetSpacing([*spacing[::-1], *extra])
    image.SetOrigin([*origin, *([0.0] * len(extra))])
    if direction is not None:
        image.SetDirection(direction)
    SimpleITK.WriteImage(image, str(path))
    return path


def random_image(seed: int, shape: Sequence[int] = SHAPE) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).normal(100, 20, tuple(shape)).astype(np.float32)


def blocks(
    shape: Sequence[int] = SHAPE, values: Sequence[int] = (1, 2, 3)
) -> npt.NDArray[np.uint8]:
    """One block per value, in the middle slices."""
    label = np.zeros(tuple(shape), np.uint8)
    for index, value in enumerate(values):
        label[1:-1, 4:12, 3 + 6 * index : 8 + 6 * index] = value
    return label


def write_acdc(
    folder: Path, patients: int = 6, frames: Sequence[int] = (1, 8), first: int = 1
) -> Path:
    """ACDC's official layout below `folder` (the folder of patients)."""
    for number in range(first, first + patients):
        patient = folder / f"patient{number:03d}"
        for frame in frames:
            stem = f"patient{number:03d}_frame{frame:02d}"
            write_image(patient / f"{stem}.nii.gz", random_image(100 * number + frame))
            write_image(patient / f"{stem}_gt.nii.gz", blocks())
        (patient / "Info.cfg").write_text("ED: 1\nES: 8\nGroup: NOR\nNbFrame: 30\n")
    return folder


def write_msd(
    folder: Path,
    cases: int = 6,
    labels: Mapping[str, str] | None = None,
    modality: Mapping[str, str] | None = None,
    label: npt.NDArray[np.uint8] | None = None,
) -> Path:
    """The Decathlon's layout; images have as many channels as `modality` has entries."""
    labels = labels or {"0": "background", "1": "liver", "2": "spleen"}
    modality = modality or {"0": "MRI"}
    entries = []
    for number in range(cases):
        image = random_image(number, (len(modality), *SHAPE) if len(modality) > 1 else SHAPE)
        values = blocks(values=(1, 2)) if label is None else label
        write_image(folder / "imagesTr" / f"organ_{number:03d}.nii.gz", image)
        write_image(folder / "labelsTr" / f"organ_{number:03d}.nii.gz", values)
        entries.append(
            {
                "image": f"./imagesTr/organ_{number:03d}.nii.gz",
                "label": f"./labelsTr/organ_{number:03d}.nii.gz",
            }
        )
    content = {"name": "Organs", "modality": modality, "labels": labels, "training": entries}
    (folder / "dataset.json").write_text(json.dumps(content))
    return folder


def truncate(path: Path, share: float = 0.5) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
