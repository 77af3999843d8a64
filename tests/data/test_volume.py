from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from spsam.data.volume import read_geometry, read_volume, write_label
from spsam.errors import InputError
from tests.data.layouts import SHAPE, SPACING, blocks, random_image, truncate, write_image

IDS = {0: 0, 1: 1, 2: 2, 3: 3}


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    image = write_image(tmp_path / "case.nii.gz", random_image(0))
    return image, write_image(tmp_path / "case_gt.nii.gz", blocks())


def messages(image: Path, label: Path | None, ids: dict[int, int] = IDS) -> list[str]:
    with pytest.raises(InputError) as caught:
        read_volume(image, label, ids)
    assert all(problem.file is not None for problem in caught.value.problems)
    return [str(problem) for problem in caught.value.problems]


def test_arrays_and_geometry_come_as_they_were_written(pair: tuple[Path, Path]) -> None:
    volume = read_volume(*pair, IDS)
    np.testing.assert_array_equal(volume.image, random_image(0)[None])
    np.testing.assert_array_equal(volume.label, blocks())
    assert volume.image.dtype == np.float32
    assert volume.spacing == SPACING
    assert volume.origin == (3.0, -4.0, 5.0)
    assert read_geometry(pair[0]) == volume.geometry


def test_the_fourth_axis_of_a_file_is_the_channel(tmp_path: Path) -> None:
    array = random_image(1, (2, *SHAPE))
    image = write_image(tmp_path / "two.nii.gz", array)
    volume = read_volume(image, None, IDS)
    np.testing.assert_array_equal(volume.image, array)
    assert volume.label is None
    assert read_geometry(image) == volume.geometry
    assert len(volume.direction) == 9


def test_ids_of_the_file_become_class_indices(tmp_path: Path) -> None:
    image = write_image(tmp_path / "a.nii.gz", random_image(0))
    label = write_image(tmp_path / "b.nii.gz", blocks(values=(4, 9)))
    volume = read_volume(image, label, {0: 0, 4: 1, 9: 2})
    np.testing.assert_array_equal(volume.label, blocks(values=(1, 2)))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.99])
def test_a_truncated_file_is_named(pair: tuple[Path, Path], share: float) -> None:
    truncate(pair[0], share)
    (message,) = messages(*pair)
    assert str(pair[0]) in message
    assert "truncated" in message


def test_a_truncated_label_is_named(pair: tuple[Path, Path]) -> None:
    truncate(pair[1])
    (message,) = messages(*pair)
    assert str(pair[1]) in message


def test_a_missing_file_is_named(pair: tuple[Path, Path]) -> None:
    pair[0].unlink()
    assert messages(*pair) == [f"{pair[0]}: the file does not exist"]


def test_image_and_label_of_different_size(pair: tuple[Path, Path]) -> None:
    write_image(pair[1], blocks((5, 20, 25)))
    (message,) = messages(*pair)
    assert "5 × 20 × 25" in message
    assert "5 × 20 × 24" in message


def test_image_and_label_of_different_spacing(pair: tuple[Path, Path]) -> None:
    write_image(pair[1], blocks(), spacing=(8.0, 1.5, 1.0))
    (message,) = messages(*pair)
    assert "spacing" in message


def test_label_values_out_of_range_are_listed(pair: tuple[Path, Path]) -> None:
    write_image(pair[1], blocks(values=(1, 7, 250)))
    (message,) = messages(*pair)
    assert "7, 250" in message
    assert "expected 0, 1, 2, 3" in message
    assert str(pair[1]) in message


def test_a_fractional_label_value_is_out_of_range(pair: tuple[Path, Path]) -> None:
    write_image(pair[1], blocks().astype(np.float32) * 0.5)
    (message,) = messages(*pair)
    assert "0.5, 1.5" in message


def test_a_label_map_of_several_frames_is_refused(pair: tuple[Path, Path]) -> None:
    write_image(pair[1], np.stack([blocks(), blocks()]))
    (message,) = messages(*pair)
    assert "one label map" in message


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_voxels_that_are_not_numbers_are_counted(pair: tuple[Path, Path], value: float) -> None:
    array = random_image(0)
    array[2, 3, 4:6] = value
    write_image(pair[0], array)
    (message,) = messages(*pair)
    assert "2 voxels that are NaN or infinite" in message


def test_a_constant_image_is_empty(pair: tuple[Path, Path]) -> None:
    write_image(pair[0], np.zeros(SHAPE, np.int16))
    (message,) = messages(*pair)
    assert "empty: every voxel is 0" in message


def test_all_mistakes_of_a_case_come_at_once(pair: tuple[Path, Path]) -> None:
    write_image(pair[0], np.ones(SHAPE, np.int16))
    write_image(pair[1], blocks((5, 20, 25), values=(1, 9, 3)))
    assert len(messages(*pair)) == 3
    array = random_image(0)
    array[0] = np.nan
    write_image(pair[0], array)
    assert len(messages(*pair)) == 2


def test_a_flat_image_is_refused(tmp_path: Path) -> None:
    path = write_image(tmp_path / "flat.nii.gz", random_image(0))
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(random_image(0)[0]), str(path))
    with pytest.raises(InputError, match="2 dimensions"):
        read_geometry(path)


@pytest.mark.parametrize(
    "direction",
    [
        (1, 0, 0, 0, 1, 0, 0, 0, 1),
        (-1, 0, 0, 0, -1, 0, 0, 0, 1),
        (0, 0, 1, 1, 0, 0, 0, 1, 0),
    ],
)
def test_written_labels_have_the_grid_exactly(tmp_path: Path, direction: tuple[float, ...]) -> None:
    source = write_image(
        tmp_path / "a.nii.gz",
        random_image(0),
        spacing=(7.3, 1.4843800067901611, 0.703125),
        origin=(-101.37, 0.2, 55.5),
        direction=direction,
    )
    geometry = read_geometry(source)
    path = tmp_path / "new" / "out.nii.gz"
    write_label(path, blocks(), geometry)
    assert read_geometry(path) == geometry
    np.testing.assert_array_equal(read_volume(source, path, IDS).label, blocks())
    assert [each.name for each in path.parent.iterdir()] == ["out.nii.gz"]
