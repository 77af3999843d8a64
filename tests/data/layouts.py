"""Small data sets that the tests write in the known layouts."""

from __future__ import annotations

import json
import locale
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


def write_synapse(folder: Path, numbers: Sequence[int] = (1, 2, 5, 6, 7, 9)) -> Path:
    """The challenge's `img/` and `label/`, with all thirteen ids of organs in the labels."""
    for number in numbers:
        image = random_image(number) - 200
        label = np.zeros(SHAPE, np.uint8)
        label.ravel()[: 14 * 20] = np.repeat(np.arange(14), 20)
        write_image(folder / "img" / f"img{number:04d}.nii.gz", image)
        write_image(folder / "label" / f"label{number:04d}.nii.gz", label)
    return folder


def write_synapse_slices(folder: Path, train: Sequence[int] = (5, 6), test: int = 1) -> Path:
    """What TransUNet shares: slices in `train_npz`, a volume in `test_vol_h5`."""
    import h5py

    for part in ("train_npz", "test_vol_h5"):
        (folder / part).mkdir(parents=True)
    for number in (*train, test):
        image = np.random.default_rng(number).random(SHAPE).astype(np.float32)
        label = blocks(values=(1, 2, 8)).astype(np.float32)
        if number == test:
            with h5py.File(folder / "test_vol_h5" / f"case{number:04d}.npy.h5", "w") as file:
                file["image"], file["label"] = image, label
            continue
        for index in range(SHAPE[0]):
            name = f"case{number:04d}_slice{index:03d}.npz"
            np.savez(folder / "train_npz" / name, image=image[index], label=label[index])
    return folder


AMOS_LABELS = (
    "background;spleen;right kidney;left kidney;gall bladder;esophagus;liver;stomach;arota;"
    "postcava;pancreas;right adrenal gland;left adrenal gland;duodenum;bladder;prostate/uterus"
)


def write_amos(folder: Path, numbers: Sequence[int] = (1, 4, 5, 6, 7, 507)) -> Path:
    """AMOS22 with the organs as its `dataset.json` spells them."""
    entries = []
    for number in numbers:
        name = f"amos_{number:04d}.nii.gz"
        write_image(folder / "imagesTr" / name, random_image(number) - 300)
        write_image(folder / "labelsTr" / name, blocks(values=(1, 8, 15)))
        entries.append({"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"})
    content = {
        "name": "AMOS",
        "modality": {"0": "CT"},
        "labels": {str(number): name for number, name in enumerate(AMOS_LABELS.split(";"))},
        "training": entries,
        "validation": [],
    }
    (folder / "dataset.json").write_text(json.dumps(content))
    return folder


def write_nnunet(folder: Path, cases: int = 5, ending: str = ".nii.gz", **changes: Any) -> Path:
    """nnU-Net v2's raw layout with two channels; `changes` replace entries of `dataset.json`."""
    for number in range(cases):
        for channel in range(2):
            image = random_image(10 * number + channel)
            write_image(folder / "imagesTr" / f"bt_{number:03d}_{channel:04d}{ending}", image)
        write_image(folder / "labelsTr" / f"bt_{number:03d}{ending}", blocks(values=(1, 2)))
    content: dict[str, Any] = {
        "channel_names": {"0": "T1", "1": "T2"},
        "labels": {"background": 0, "edema": 2, "core": 1},
        "numTraining": cases,
        "file_ending": ending,
    }
    (folder / "dataset.json").write_text(json.dumps({**content, **changes}))
    return folder


def write_dicom(
    folder: Path,
    array: npt.NDArray[np.int16],
    *,
    spacing: Sequence[float] = (3.0, 0.8, 0.7),
    series: str = "1.2.826.0.1.3680043.2.1125.1",
    direction: Sequence[float] = (1, 0, 0, 0, 1, 0, 0, 0, 1),
    first: int = 0,
) -> Path:
    """One file a slice, upwards from (−10, 20, 5) mm; names run against the positions."""
    folder.mkdir(parents=True, exist_ok=True)
    matrix = np.reshape(np.asarray(direction, float), (3, 3))
    # The library's DICOM writer sets the process's locale to C, and other tests read UTF-8.
    before = locale.setlocale(locale.LC_ALL)
    for index, plane in enumerate(array):
        image = SimpleITK.GetImageFromArray(plane[None])
        image.SetSpacing(spacing[::-1])
        position = np.array([-10.0, 20.0, 5.0]) + matrix[:, 2] * spacing[0] * index
        cosines = (*matrix[:, 0], *matrix[:, 1])
        tags = {
            "0008|0060": "CT",
            "0020|000e": series,
            "0020|000d": "1.2.826.0.1.3680043.2.1125.9",
            "0020|0013": str(index + 1),
            "0020|0052": "1.2.826.0.1.3680043.2.1125.8",
            "0020|0032": "\\".join(f"{value:.6f}" for value in position),
            "0020|0037": "\\".join(f"{value:.6f}" for value in cosines),
        }
        for key, value in tags.items():
            image.SetMetaData(key, value)
        writer = SimpleITK.ImageFileWriter()
        writer.KeepOriginalImageUIDOn()
        writer.SetFileName(str(folder / f"{first + len(array) - index:03d}.dcm"))
        writer.Execute(image)
    locale.setlocale(locale.LC_ALL, before)
    return folder
