from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from spsam.data.cases import Case, DataSet
from spsam.data.dataset import open_dataset
from spsam.data.geometry import Geometry
from spsam.data.plan import Plan, plan
from spsam.data.preparation.prepare import prepare
from spsam.data.preparation.preprocess import preprocess, preprocess_volume
from spsam.data.preparation.restore import restore_labels, write_labels
from spsam.data.volume import Volume, read_geometry, read_volume
from tests.data.layouts import write_image, write_msd
from tests.data.test_geometry import CODES, of_code


def a_case(volume: Volume) -> Case:
    return Case("a", "a", partial(lambda: volume), partial(lambda: volume.geometry))


def one_hot(label: np.ndarray, classes: int) -> np.ndarray:
    return np.stack([label == value for value in range(classes)]).astype(np.float32)


def largest(logits: torch.Tensor) -> torch.Tensor:
    return logits.argmax(1)


@settings(max_examples=40)
@given(
    code=st.sampled_from(CODES),
    wanted=st.sampled_from(CODES),
    depth_axis=st.integers(0, 2),
    crop=st.booleans(),
    tilt=st.tuples(*[st.floats(-20, 20)] * 3),
    seed=st.integers(0, 9),
)
def test_label_maps_return_to_their_own_grid(
    tmp_path_factory: pytest.TempPathFactory,
    *,
    code: str,
    wanted: str,
    depth_axis: int,
    crop: bool,
    tilt: tuple[float, float, float],
    seed: int,
) -> None:
    """Through any orientation, oblique axes, crop and depth axis, to the file: not a voxel off."""
    rng = np.random.default_rng(seed)
    shape = (6, 7, 8)
    label = np.zeros(shape, np.int16)
    label[1:5, 2:6, 2:7] = rng.integers(0, 4, (4, 4, 5))
    image = np.zeros((1, *shape), np.float32)
    image[:, 1:5, 2:6, 2:7] = rng.normal(5, 1, (1, 4, 4, 5))
    matrix = Rotation.from_euler("xyz", tilt, degrees=True).as_matrix()
    direction = tuple((matrix @ np.reshape(of_code(code).direction, (3, 3))).ravel())
    volume = Volume(image, label, (3.0, 1.5, 0.7), (-3.5, 12.25, 100.125), direction)
    made = Plan(depth_axis, (1.0, 1.0, 1.0), True, "MR", (2, 16, 16), (), wanted, crop)
    # The same spacing as the volume's own: nothing is resampled, so all must come back.
    turn = made.turn(volume.geometry)
    spacing = tuple(volume.spacing[axis] for axis in turn.axes)
    made = Plan(depth_axis, spacing, True, "MR", (2, 16, 16), (), wanted, crop)  # type: ignore[arg-type]
    prepared = preprocess_volume(volume, a_case(volume), made, None, raw_ids=(0, 5, 7, 9))
    assert (prepared.box is not None) is crop
    logits = one_hot(np.asarray(prepared.label), 4)
    labels = restore_labels(logits, prepared, largest)
    np.testing.assert_array_equal(labels, label)
    path = tmp_path_factory.mktemp("out") / "a.nii.gz"
    write_labels(path, labels, prepared)
    written = read_volume(path, path, {0: 0, 5: 1, 7: 2, 9: 3})
    np.testing.assert_array_equal(written.label, label)
    geometry = read_geometry(path)
    assert geometry.shape == shape
    # NIfTI keeps single precision.
    np.testing.assert_allclose(geometry.spacing, volume.spacing, rtol=1e-6)
    np.testing.assert_allclose(geometry.origin, volume.origin, atol=1e-4)
    np.testing.assert_allclose(geometry.direction, direction, atol=1e-5)


def test_a_scan_in_another_orientation_meets_the_network_as_the_training_cases_do(
    tmp_path: Path,
) -> None:
    """The same anatomy, stored in all ways: prepared voxels are equal."""
    rng = np.random.default_rng(0)
    array = rng.normal(100, 20, (6, 14, 16)).astype(np.float32)
    image = SimpleITK.GetImageFromArray(array)
    image.SetSpacing((0.7, 1.5, 5.0))
    made = Plan(0, (5.0, 1.5, 0.7), True, "MR", (2, 16, 16), (), "LPS")
    for code in CODES[::5]:
        turned = SimpleITK.DICOMOrient(image, code)
        path = tmp_path / f"{code}.nii.gz"
        SimpleITK.WriteImage(turned, str(path))
        case = Case(code, code, partial(read_volume, path, None, {}), partial(read_geometry, path))
        prepared = preprocess(case, made, None, channels=1)
        expected = (array - array.mean(dtype=np.float64)) / array.std(dtype=np.float64)
        np.testing.assert_allclose(prepared.image[0], expected, atol=1e-4)
        assert not prepared.label.any()


def bordered(folder: Path, border: int = 6) -> DataSet:
    """Images that are empty but for a block in the middle."""
    write_msd(folder, 5)
    shape = (8, 24, 24)
    for number in range(5):
        rng = np.random.default_rng(number)
        image = np.zeros(shape, np.float32)
        depth = slice(1, 7) if border > 1 else slice(None)
        inside = (depth, slice(border, -border), slice(border, -border))
        image[inside] = rng.normal(100, 10, image[inside].shape)
        label = np.zeros(shape, np.uint8)
        label[3:5, 10:14, 10:14] = 1 + number % 2
        name = f"organ_{number:03d}.nii.gz"
        write_image(folder / "imagesTr" / name, image, (1, 1, 1))
        write_image(folder / "labelsTr" / name, label, (1, 1, 1))
    return open_dataset(folder)


def test_what_is_empty_in_most_images_is_cut_away_and_does_not_count(tmp_path: Path) -> None:
    dataset = bordered(tmp_path / "data")
    ids = [case.id for case in dataset.cases]
    made = plan(dataset, ids, max_depth=8, max_size=64, anisotropy=3.0)
    assert made.crop
    assert made.patch_size == (6, 16, 16)
    store = prepare(dataset, made, tmp_path / "out", workers=1)
    case = store.case("organ_003")
    assert case.image.shape == (1, 6, 12, 12)
    assert case.box == ((1, 7), (6, 18), (6, 18))
    assert abs(float(np.mean(case.image[...]))) < 1e-4
    labels = restore_labels(one_hot(np.asarray(case.label), 3), case, largest)
    np.testing.assert_array_equal(labels, dataset.case("organ_003").load().label)
    thin = bordered(tmp_path / "thin", border=1)
    assert not plan(thin, ids, max_depth=8, max_size=64, anisotropy=3.0).crop


def test_a_plan_without_an_orientation_leaves_volumes_as_they_are() -> None:
    made = Plan.from_dict(
        {
            "depth_axis": 1,
            "spacing": [1, 1, 1],
            "anisotropic": True,
            "modality": "MR",
            "patch_size": [1, 16, 16],
            "training": [],
        }
    )
    turn = made.turn(Geometry((1, 1, 1), (1, 1, 1), (0, 0, 0), (-1, 0, 0, 0, -1, 0, 0, 0, 1)))
    assert turn.axes == (1, 0, 2)
    assert turn.flips == (False, False, False)


def test_the_commonest_orientation_is_planned(tmp_path: Path) -> None:
    folder = write_msd(tmp_path, 3)
    for number in (0, 2):
        for part in ("imagesTr", "labelsTr"):
            path = folder / part / f"organ_{number:03d}.nii.gz"
            image = SimpleITK.DICOMOrient(SimpleITK.ReadImage(str(path)), "ASL")
            SimpleITK.WriteImage(image, str(path))
    dataset = open_dataset(folder)
    made = plan(
        dataset, [case.id for case in dataset.cases], max_depth=8, max_size=64, anisotropy=3.0
    )
    assert made.orientation == "ASL"
    shapes = {made.target_shape(case.geometry()) for case in dataset.cases}
    assert len(shapes) == 1
