"""From files to files: with a network that answers the reference, nothing may be lost on the way.

A data set of two cases, of any orientation, forms, unit, scale, type and ids, is checked, prepared,
segmented and scored. Then Dice is 1, ids, forms and geometry are as they were; or the file that is
to blame was refused by its name. `nox -s round_trip` tries more of them.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
import torch
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from torch import Tensor, nn

from spsam.config.schema import RunConfig
from spsam.data.checking.examine import examine
from spsam.data.dataset import open_dataset
from spsam.data.labels import ROUNDING
from spsam.data.preparation.prepare import prepare
from spsam.data.preparation.store import PreparedStore
from spsam.engine.checkpoint import save_whole
from spsam.engine.evaluate import evaluate
from spsam.engine.recipe import EnsembleMember
from spsam.errors import InputError
from spsam.model.networks.base import Network, Output
from spsam.studies.planning.planner import Request, plan_ablation
from spsam.studies.predict import plan_prediction, predict
from spsam.studies.progress_events import ProgressListener
from spsam.studies.scores import plan_scoring, score
from tests.data.test_geometry import CODES, of_code

EXAMPLES = int(os.environ.get("SPSAM_ROUND_TRIPS", "40"))

# mm in a header's unit of length: none, metre, millimetre, micron.
UNITS = {0: 1.0, 1: 1e3, 2: 1.0, 3: 1e-3}
PIXELS = ("u1", "<i2", ">i2", "<u2", "<i4", "<f4", ">f4", "<f8")
IDS = ("u1", "<i2", ">u2", "<i4", "<u4", ">i8", "<u8", "<f4", "<f8", ">f4")


@dataclass(frozen=True)
class Example:
    """One data set.

    Attributes:
        shape: (z, y, x) of the first case, as its axes lie in the patient.
        spacing: mm, likewise.
        codes: Of both cases' orientations.
        tilt: Degrees about the three axes.
        origin: mm.
        forms: Codes of the qform and the sform; one of them counts.
        apart: mm by which the form that is not taken lies elsewhere.
        unit: `xyzt_units` of the header.
        ending: Of all files.
        pixels: The images' type.
        ids: The label maps' type.
        slope: Scale factor of the label maps; 1 for none.
        raw_ids: Of the classes, background first.
        channels: Their names.
        border: How much of each axis is zero.
        seed: Of the voxels.
    """

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    codes: tuple[str, str]
    tilt: tuple[float, float, float]
    origin: tuple[float, float, float]
    forms: tuple[int, int]
    apart: float
    unit: int
    ending: str
    pixels: str
    ids: str
    slope: float
    raw_ids: tuple[int, ...]
    channels: tuple[str, ...]
    border: int
    seed: int

    @property
    def nifti(self) -> bool:
        """Whether its files have forms, a unit and a scale factor."""
        return self.ending.startswith(".nii")

    def is_hopeless(self, label: np.ndarray) -> bool:
        """Whether its type of label map cannot hold the ids of a label."""
        ids = np.unique(label).astype(np.float64)
        read = np.float32 if np.dtype(self.ids).itemsize < 4 else np.float64
        if self.slope != 1 and self.nifti:
            values = np.rint(ids / self.slope).astype(read) * read(np.float32(self.slope))
        elif np.dtype(self.ids).kind == "f":
            values = ids.astype(self.ids)
        else:
            return False
        exact = 2 ** (np.finfo(values.dtype).nmant + 1)
        return bool(values.max() > exact or np.abs(values - ids).max() > ROUNDING)


@st.composite
def examples(draw: st.DrawFn) -> Example:
    scale = 10 ** draw(st.floats(-3, 1))
    kind = draw(st.sampled_from(IDS))
    plain = kind == "u1" or np.dtype(kind).kind == "f"
    slope = 1.0 if plain else draw(st.sampled_from([1.0, 1.0, 1.0, 0.5, 1 / 3]))
    top = np.iinfo(kind).max // 3 if np.dtype(kind).kind != "f" else 2**32 - 1
    id_ = st.one_of(*(st.integers(1, min(top, most)) for most in (3, 255, 65535, 2**32 - 1)))
    ids = sorted(draw(st.sets(id_, min_size=1, max_size=4)))
    # Of an atlas: more digits than single precision has.
    if draw(st.integers(0, 4)) == 0 and top > 312782546:
        ids = sorted({*ids, 312782546})
    if draw(st.integers(0, 9)) == 0:
        ids = sorted({*ids, *range(1, min(300, top))})
    return Example(
        shape=draw(st.tuples(*[st.integers(5, 9)] * 3)),
        spacing=draw(st.tuples(*[st.floats(1, 8).map(lambda x: x * scale)] * 3)),
        codes=draw(st.tuples(st.sampled_from(CODES), st.sampled_from(CODES))),
        tilt=draw(st.tuples(*[st.sampled_from([0.0, 7.0, -21.0])] * 3)),
        origin=draw(st.tuples(*[st.floats(-300, 300)] * 3)),
        forms=draw(
            st.tuples(st.integers(0, 4), st.integers(0, 4)).filter(lambda codes: any(codes))
        ),
        apart=draw(st.sampled_from([0.0, 0.0, 40.0])),
        unit=draw(st.sampled_from([2, 2, 0, 1, 3])),
        ending=draw(st.sampled_from([".nii.gz", ".nii.gz", ".nii", ".nrrd", ".mha"])),
        pixels=draw(st.sampled_from(PIXELS)),
        ids=kind,
        slope=slope,
        raw_ids=(0, *ids),
        channels=draw(st.sampled_from([("T1",), ("CT",), ("T1", "T2")])),
        border=draw(st.integers(0, 1)),
        seed=draw(st.integers(0, 999)),
    )


class Oracle(Network):
    """Finds each patch in the volumes that it knows, and gives their references as logits."""

    def __init__(self, store: PreparedStore, size: Sequence[int]) -> None:
        super().__init__(store.num_classes, size[0], (size[1], size[2]))
        self.weight = nn.Parameter(torch.zeros(1))
        self._known = [self._padded(store, name) for name in store.ids]
        self._classes = store.num_classes

    def blocks(self) -> dict[str, nn.Module]:
        return {}

    def forward(self, volume: Tensor, *, decode: bool = True) -> Output:
        found = torch.stack([self._answer(patch.numpy()) for patch in volume])
        logits = nn.functional.one_hot(found, self._classes).movedim(-1, 1).float()
        return Output(20 * logits)

    def _padded(self, store: PreparedStore, name: str) -> tuple[np.ndarray, np.ndarray]:
        """A case's image and label, as large as a patch at least; half of it on either side."""
        case = store.case(name)
        missing = [
            max(0, want - have)
            for want, have in zip((self.depth, *self.image_size), case.label.shape, strict=True)
        ]
        pads = [(each // 2, each - each // 2) for each in missing]
        return np.pad(case.image, [(0, 0), *pads]), np.pad(case.label, pads).astype(np.int64)

    def _answer(self, patch: np.ndarray) -> Tensor:
        size = patch.shape[1:]
        for image, label in self._known:
            windows = np.lib.stride_tricks.sliding_window_view(image, size, axis=(1, 2, 3))
            for place in np.ndindex(windows.shape[1:4]):
                if np.array_equal(windows[(slice(None), *place)], patch):
                    inside = tuple(slice(p, p + n) for p, n in zip(place, size, strict=True))
                    return torch.from_numpy(label[inside])
        raise AssertionError("the patch is of no volume that was prepared")


class Warned(ProgressListener):
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)


def geometry_of(example: Example, code: str) -> np.ndarray:
    """The affine (4, 4) in mm, right, front and up, of a case's file, and its axes' order."""
    matrix = np.reshape(of_code(code).direction, (3, 3))
    turn = Rotation.from_euler("xyz", example.tilt, degrees=True).as_matrix()
    # (x, y, z) of the patient -> of the array: the spacing goes with the patient's axis.
    spacing = np.abs(matrix).T @ np.array(example.spacing[::-1])
    affine = np.eye(4)
    affine[:3, :3] = np.diag([-1, -1, 1]) @ turn @ matrix @ np.diag(spacing)
    affine[:3, 3] = example.origin
    return affine


def write(path: Path, array: np.ndarray, example: Example, affine: np.ndarray) -> None:
    """Writes (x, y, z) voxels with both forms; the one that is not taken may lie elsewhere."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = path.parent.name == "imagesTr"
    kind, slope = (example.pixels, 1.0) if image else (example.ids, example.slope)
    if not example.nifti:
        _write_other(path, array.astype(np.dtype(kind).newbyteorder("=")), affine)
        return
    scaled = affine.copy()
    scaled[:3] /= UNITS[example.unit]
    beside = scaled.copy()
    beside[:3, 3] += example.apart * np.min(np.linalg.norm(scaled[:3, :3], axis=0))
    qform, sform = example.forms
    # An sform of scanner coordinates is taken, and any where there is no qform.
    taken = sform == 1 or not qform
    header = nib.Nifti1Header(endianness=">" if kind.startswith(">") else "<")
    header.set_data_dtype(np.dtype(kind))
    header.set_data_shape(array.shape)
    header.set_qform(beside if taken else scaled, qform)
    header.set_sform(scaled if taken else beside, sform)
    header["xyzt_units"] = example.unit
    header["magic"], header["vox_offset"] = b"n+1", 352
    header["scl_slope"], header["scl_inter"] = slope, 0
    raw = array if slope == 1 else np.rint(array / slope)
    content = header.binaryblock + bytes(4) + raw.astype(kind).tobytes(order="F")
    path.write_bytes(gzip.compress(content, 1) if path.suffix == ".gz" else content)


def _write_other(path: Path, array: np.ndarray, affine: np.ndarray) -> None:
    """Of a format without forms, which counts to the left and to the back."""
    matrix = np.diag([-1, -1, 1, 1]) @ affine
    spacing = np.linalg.norm(matrix[:3, :3], axis=0)
    image = SimpleITK.GetImageFromArray(array.T)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(matrix[:3, 3].tolist())
    image.SetDirection((matrix[:3, :3] / spacing).ravel().tolist())
    SimpleITK.WriteImage(image, str(path))


def make(example: Example, folder: Path) -> dict[str, np.ndarray]:
    """Writes the data set; returns each case's ids on its file's axes (x, y, z)."""
    rng = np.random.default_rng(example.seed)
    labels = {}
    for name, code in zip("ab", example.codes, strict=True):
        affine = geometry_of(example, code)
        order = np.abs(np.reshape(of_code(code).direction, (3, 3))).argmax(axis=0)
        shape = np.array(example.shape[::-1])[order]
        inside = tuple(slice(example.border, size - example.border or None) for size in shape)
        ids = np.zeros(shape, np.int64)
        box = ids[inside]
        chosen = rng.choice(len(example.raw_ids), box.shape, p=_shares(len(example.raw_ids)))
        chosen.flat[:2] = [1, 0]
        ids[inside] = np.array(example.raw_ids)[chosen]
        for number in range(len(example.channels)):
            pixels = np.zeros(shape)
            pixels[inside] = rng.integers(1, 250, box.shape)
            path = folder / "imagesTr" / f"{name}_{number:04d}{example.ending}"
            write(path, pixels, example, affine)
        path = folder / "labelsTr" / f"{name}{example.ending}"
        write(path, ids, example, affine)
        labels[name] = ids
    (folder / "split.json").write_text(json.dumps({"train": ["a"], "val": [], "test": ["b"]}))
    about = {
        "channel_names": {str(k): name for k, name in enumerate(example.channels)},
        "labels": {"background": 0, **{f"c{k}": k for k in example.raw_ids[1:]}},
        "numTraining": 2,
        "file_ending": example.ending,
    }
    (folder / "dataset.json").write_text(json.dumps(about))
    return labels


def _shares(count: int) -> np.ndarray:
    """A third of the voxels are background."""
    return np.array([1 / 3, *[2 / 3 / (count - 1)] * (count - 1)])


@pytest.mark.slow
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(example=examples())
def test_nothing_is_lost_from_files_to_files(
    example: Example, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        with monkeypatch.context() as patch:
            _round_trip(example, folder, patch)
    finally:
        shutil.rmtree(folder)


def _round_trip(example: Example, folder: Path, patch: pytest.MonkeyPatch) -> None:
    labels = make(example, folder / "data")
    report = examine(open_dataset(folder / "data"), workers=1)
    hopeless = {name for name, label in labels.items() if example.is_hopeless(label)}
    if hopeless:
        event("refused")
        place = folder / "data" / "labelsTr"
        blamed = {each.file for each in report.errors if each.file}
        assert blamed == {place / f"{name}{example.ending}" for name in hopeless}
        with pytest.raises(InputError, match=r"labelsTr"):
            run_of(folder)
        return
    assert report.errors == []
    config, store, checkpoint = run_of(folder)
    oracle = Oracle(store, store.index["plan"]["patch_size"])
    patch.setattr(
        "spsam.engine.segment.load_member", lambda recipe, *_: EnsembleMember(recipe, oracle)
    )
    dataset = open_dataset(folder / "data")
    own = evaluate(
        oracle,
        store,
        dataset.cases,
        config,
        predictions=folder / "own",
        on_progress=lambda done: None,
    )
    for case in own.scores:
        assert np.nanmin(case.dice) == 1
        assert np.nan_to_num(case.hd95).max() == 0
    shutil.copytree(folder / "data" / "imagesTr", folder / "scans")
    asked = [str(checkpoint), str(folder / "scans")]
    planned = plan_prediction(asked, home=folder, output=folder / "made", device="cpu")
    heard = Warned()
    assert not predict(planned, heard).problems
    scored = score(plan_scoring(folder / "made", folder / "data" / "labelsTr"), heard)
    dice = [each.value for each in scored if each.metric == "dice" and each.value is not None]
    assert dice
    assert set(dice) == {1.0}
    for name, ids in labels.items():
        for part in ("own", "made"):
            as_it_was(folder / part / f"{name}.nii.gz", folder / "data", name, example, ids)
    if example.apart == 0:
        assert [each for each in heard.warnings if "tolerance" not in each] == []


def run_of(folder: Path) -> tuple[RunConfig, PreparedStore, Path]:
    """A run's configuration, its prepared data, and a checkpoint of it without any weights."""
    request = Request(["S1"], folder, str(folder / "data"), "smoke", device="cpu")
    ((_, run),) = plan_ablation(request).runs
    dataset = open_dataset(folder / "data")
    store = prepare(dataset, run.plan, folder / "prepared", workers=1)
    about = {
        "config": run.config.model_dump_json(),
        "plan": run.plan.to_dict(),
        "raw_ids": list(dataset.raw_ids),
        "intensities": store.index["statistics"],
    }
    total = run.config.arm.train.epochs * run.config.arm.train.iterations
    path = folder / "run" / "checkpoint.pt"
    path.parent.mkdir()
    save_whole(path, {"about": about, "blocks": {}, "progress": {"steps": total}})
    return run.config, store, path


def as_it_was(made: Path, data: Path, name: str, example: Example, ids: np.ndarray) -> None:
    """Whether a label map has its reference's ids and its scan's header, by another reader."""
    map_ = nib.load(made)
    np.testing.assert_array_equal(np.asarray(map_.dataobj), ids)
    affine = geometry_of(example, example.codes["ab".index(name)])
    close: dict[str, float] = {"rtol": 1e-5, "atol": 1e-6 * np.abs(affine).max()}
    if not example.nifti:
        np.testing.assert_allclose(map_.affine, affine, **close)
        return
    image = nib.load(data / "imagesTr" / f"{name}_0000{example.ending}")
    for field in ("qform_code", "sform_code", "xyzt_units"):
        assert map_.header[field] == image.header[field], field
    np.testing.assert_allclose(map_.header.get_zooms(), image.header.get_zooms(), rtol=1e-6)
    for form in ("get_sform", "get_qform"):
        one, code = getattr(map_, form)(coded=True)
        other, _ = getattr(image, form)(coded=True)
        # A form whose code is 0 says nothing.
        if code:
            close["atol"] = 1e-6 * np.abs(other).max()
            np.testing.assert_allclose(one, other, **close)
