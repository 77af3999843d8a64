"""`dataset.json` and `split.json` with places and bytes changed, against Python's own reader."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from spsam.data.cases import DataSet
from spsam.data.dataset import open_dataset
from spsam.data.sources.known import AMOS
from spsam.data.split import Split, split_cases
from spsam.data.split_lists import PARTS
from spsam.data.volume import Volume
from tests.data.layouts import random_image, write_image
from tests.fuzz.campaign import Attempt, Campaign, Make, OtherError
from tests.fuzz.trees import mutated, scratched, written

_SHAPE = (3, 6, 5)
_NAMES = ("a_1", "b", "c.d", "e", "f", "g")
_IDS = (0, 1, 7)
Opened = tuple[DataSet, Split, dict[str, Volume]]


def start(base: Path) -> Make:
    """Three small data sets and what their descriptions say."""
    told = {
        "msd": _msd(base / "msd"),
        "nnunet": _nnunet(base / "nnunet"),
        "amos": _amos(base / "amos"),
    }
    return lambda draw, folder: _attempt(draw, folder, base, told)


def _label(seed: int, ids: tuple[int, ...]) -> NDArray[np.uint8]:
    """Every id is there."""
    chosen = np.random.default_rng(seed).choice(ids, _SHAPE)
    chosen.flat[: len(ids)] = ids
    return chosen.astype(np.uint8)


def _case(image: Path, label: Path, seed: int, ids: tuple[int, ...]) -> dict[str, str]:
    write_image(image, random_image(seed, _SHAPE))
    write_image(label, _label(seed, ids))
    folder = image.parent.parent
    return {
        key: f"./{path.relative_to(folder)}" for key, path in (("image", image), ("label", label))
    }


def _msd(folder: Path) -> dict[str, Any]:
    training = [
        _case(folder / f"imagesTr/{name}.nii.gz", folder / f"labelsTr/{name}.nii.gz", seed, _IDS)
        for seed, name in enumerate(_NAMES)
    ]
    labels = {"0": "background", "1": "liver", "7": "tumour"}
    return {
        "name": "Small",
        "modality": {"0": "MRI"},
        "labels": labels,
        "numTraining": 6,
        "training": training,
    }


def _nnunet(folder: Path) -> dict[str, Any]:
    for seed, name in enumerate(_NAMES):
        _case(
            folder / f"imagesTr/{name}_0000.nii.gz", folder / f"labelsTr/{name}.nii.gz", seed, _IDS
        )
    labels = {"background": 0, "liver": 1, "tumour": 7}
    about = {"channel_names": {"0": "CT"}, "labels": labels, "numTraining": 6}
    return {**about, "file_ending": ".nii.gz"}


def _amos(folder: Path) -> dict[str, Any]:
    names = [f"amos_{number:04d}" for number in range(1, 7)]
    training = [
        _case(
            folder / f"imagesTr/{name}.nii.gz",
            folder / f"labelsTr/{name}.nii.gz",
            seed,
            tuple(range(16)),
        )
        for seed, name in enumerate(names)
    ]
    labels = {"0": "background", **{str(number): name for name, number in AMOS.organs.items()}}
    return {
        "name": "AMOS",
        "modality": {"0": "CT"},
        "labels": labels,
        "numTraining": 6,
        "training": training,
    }


def _attempt(draw: random.Random, folder: Path, base: Path, told: dict[str, Any]) -> Attempt:
    layout = draw.choice(["msd", "msd", "nnunet", "amos"])
    place = Path(shutil.copytree(base / layout, folder / "data"))
    names = sorted(path.name.removesuffix(".nii.gz") for path in (place / "labelsTr").iterdir())
    split = {"train": names[:3], "val": names[3:4], "test": names[4:]}
    trees = {"dataset.json": told[layout], "split.json": split}
    file = draw.choice(["dataset.json", "dataset.json", "split.json"])
    what = "a byte changed"
    for name, tree in trees.items():
        content = written(tree).encode()
        if name == file and draw.random() < 0.3:
            content = scratched(draw, content)
        elif name == file:
            tree, what = mutated(draw, tree)
            content = written(tree).encode("utf-8", "surrogatepass")
        (place / name).write_bytes(content)
    return Attempt(
        f"{layout} {file}: {what}", lambda: _open(place), lambda found: _as_json(place, *found)
    )


def _open(place: Path) -> Opened:
    dataset = open_dataset(place)
    split = split_cases(dataset)
    volumes = {case.id: case.load() for case in dataset.cases}
    for case in dataset.cases:
        case.geometry()
    return dataset, split, volumes


def _as_json(place: Path, dataset: DataSet, split: Split, volumes: dict[str, Volume]) -> str:
    about = json.loads((place / "dataset.json").read_text("utf-8-sig"))
    listed = json.loads((place / "split.json").read_text("utf-8-sig"))
    for part in PARTS:
        found, wanted = getattr(split, part), listed.get(part, [])
        if set(found) != set(wanted) & set(volumes):
            raise OtherError(f"the split's {part} is {found}, split.json's {wanted}")
    labels = about["labels"]
    by_id = (
        {int(k): v for k, v in labels.items()}
        if "training" in about and "channel_names" not in about
        else {int(v): k for k, v in labels.items()}
    )
    if dataset.published is None:
        wanted = (tuple(sorted(by_id)), ("background", *(by_id[k] for k in sorted(by_id)[1:])))
        if (dataset.raw_ids, dataset.class_names) != wanted:
            raise OtherError(
                f"ids and classes are {dataset.raw_ids}, {dataset.class_names}, not {wanted}"
            )
    for case in dataset.cases:
        image, label = (_voxels(file) for file in (case.files[0], case.files[-1]))
        volume = volumes[case.id]
        assert volume.label is not None
        ids = np.array(dataset.raw_ids)[volume.label]
        # Of a published set some ids count as background.
        kept = np.isin(label, dataset.raw_ids)
        if not np.allclose(volume.image[0], image) or not np.array_equal(ids[kept], label[kept]):
            raise OtherError(f"case {case.id} is not what its files hold")
    if (
        len(dataset.cases) != len(about.get("training", dataset.cases))
        and dataset.published is None
    ):
        raise OtherError("not every listed case is there")
    return "as listed"


def _voxels(path: Path) -> NDArray[Any]:
    image: Any = nib.load(path)
    return np.asanyarray(image.dataobj).T


CAMPAIGN = Campaign("descriptions", start, 1000)
