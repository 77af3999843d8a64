from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from spsam.data.sources.volumes import left_out, open_volumes
from spsam.errors import InputError
from tests.data.layouts import SHAPE, random_image, write_dicom, write_image

SLICES = np.random.default_rng(0).integers(-1000, 1000, (6, 10, 12)).astype(np.int16)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".nrrd", ".mha"])
def test_one_file_of_any_format(tmp_path: Path, ending: str) -> None:
    path = write_image(tmp_path / f"scan_7{ending}", random_image(0))
    (case,) = open_volumes(path)
    assert case.id == "scan_7"
    volume = pickle.loads(pickle.dumps(case)).load()
    assert volume.label is None
    np.testing.assert_allclose(volume.image[0], random_image(0), rtol=1e-6)
    assert case.geometry() == volume.geometry


def test_a_folder_of_files_and_of_channels(tmp_path: Path) -> None:
    for name in ("b.nii.gz", "a.mha", "p_0000.nii.gz", "p_0001.nii.gz", "visit_2024.nii.gz"):
        write_image(tmp_path / name, random_image(len(name)))
    (tmp_path / "notes.txt").write_text("x")
    cases = open_volumes(tmp_path)
    assert [case.id for case in cases] == ["a", "b", "p", "visit_2024"]
    assert [len(case.load().image) for case in cases] == [1, 1, 2, 1]
    write_image(tmp_path / "a.nrrd", random_image(0))
    write_image(tmp_path / "p_0003.nii.gz", random_image(0))
    with pytest.raises(InputError) as caught:
        open_volumes(tmp_path)
    assert "two volumes are named 'a'" in str(caught.value)
    assert "expected channels 0000, 0001, … of p, got 0000, 0001, 0003" in str(caught.value)


def test_what_is_no_volume(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file or folder"):
        open_volumes(tmp_path / "x")
    with pytest.raises(InputError, match="there is no volume in the folder"):
        open_volumes(tmp_path)
    (tmp_path / "a.png").write_bytes(b"x")
    with pytest.raises(InputError, match="expected an image"):
        open_volumes(tmp_path / "a.png")


def test_a_dicom_series_lies_where_its_slices_say(tmp_path: Path) -> None:
    turn = (1, 0, 0, 0, 0, 1, 0, -1, 0)
    write_dicom(tmp_path / "one", SLICES)
    write_dicom(tmp_path / "two", SLICES, direction=turn)
    one, two = open_volumes(tmp_path)
    assert (one.id, two.id) == ("one", "two")
    volume = one.load()
    # Files are named against their positions: order comes from the positions.
    np.testing.assert_array_equal(volume.image[0], SLICES)
    assert volume.spacing == pytest.approx((3.0, 0.8, 0.7))
    assert volume.origin == pytest.approx((-10, 20, 5))
    assert two.load().direction == pytest.approx(turn)
    assert one.geometry() == volume.geometry


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        ("gap", "mm apart, the others 3 mm: a slice is missing"),
        ("twice", "two slices have the same position"),
        ("two", "expected one DICOM series, the folder has 2"),
        ("size", r"differ in size \(5 × 12, 10 × 12\); move each kind into its own folder"),
    ],
)
def test_series_that_would_be_stacked_wrongly(tmp_path: Path, spoil: str, message: str) -> None:
    folder = write_dicom(tmp_path / "scan", SLICES)
    if spoil == "gap":
        (folder / "003.dcm").unlink()
    elif spoil == "twice":
        write_dicom(folder, SLICES[:1], first=50)
    elif spoil == "two":
        write_dicom(folder, SLICES, series="1.2.826.0.1.3680043.2.1125.2", first=50)
    else:
        write_dicom(tmp_path / "other", SLICES[:, :5])
        (tmp_path / "other" / "003.dcm").replace(folder / "003.dcm")
    with pytest.raises(InputError, match=message):
        open_volumes(folder)[0].load()


def test_the_real_series(shared_data: Path) -> None:
    (case,) = open_volumes(shared_data / "dicom" / "hippocampus_crop")
    assert case.load().image.shape == (1, 32, 51, 35)
    assert case.geometry().shape != SHAPE


def test_a_link_to_a_scan_that_is_gone_is_named(tmp_path: Path) -> None:
    write_image(tmp_path / "a.nii.gz", random_image(0))
    (tmp_path / "b.nii.gz").symlink_to(tmp_path / "gone.nii.gz")
    (tmp_path / "notes.txt").symlink_to(tmp_path / "gone.txt")
    first, second = open_volumes(tmp_path)
    assert first.load().label is None
    with pytest.raises(InputError, match=r"b\.nii\.gz: the file does not exist"):
        second.load()
    assert [each.name for each in left_out(tmp_path)] == ["notes.txt"]


@pytest.mark.parametrize("ending", [".dcm", "", ".IMA"])
def test_a_link_to_a_slice_that_is_gone_is_named(tmp_path: Path, ending: str) -> None:
    write_dicom(tmp_path / "s", SLICES)
    # The last one: without it the others are evenly spaced.
    top = min((tmp_path / "s").iterdir())
    top.unlink()
    top.with_suffix(ending).symlink_to(tmp_path / "gone")
    (case,) = open_volumes(tmp_path / "s")
    with pytest.raises(InputError, match="No such file") as caught:
        case.load()
    assert caught.value.problems[0].file == top.with_suffix(ending)
