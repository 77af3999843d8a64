from __future__ import annotations

import gzip
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from spsam.data.dataset import open_dataset
from spsam.data.examine import Report, examine
from tests.data.layouts import blocks, random_image, truncate, write_acdc, write_image


def rewrite(path: Path, change: Callable[[np.ndarray], np.ndarray], **geometry: object) -> None:
    """The file's voxels changed, its geometry kept but for `geometry`."""
    image = SimpleITK.ReadImage(str(path))
    result = SimpleITK.GetImageFromArray(change(SimpleITK.GetArrayFromImage(image)))
    result.SetSpacing(geometry.get("spacing", image.GetSpacing()))
    result.SetOrigin(geometry.get("origin", image.GetOrigin()))
    result.SetDirection(geometry.get("direction", image.GetDirection()))
    SimpleITK.WriteImage(result, str(path))


def value(at: tuple[int, int, int], what: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(array: np.ndarray) -> np.ndarray:
        result = array.astype(np.float32) if not np.isfinite(what) else array.copy()
        result[at] = what
        return result

    return change


def same(array: np.ndarray) -> np.ndarray:
    return array


def channels(array: np.ndarray) -> np.ndarray:
    return np.stack([array, array])


def sheared(path: Path) -> None:
    """As some converters write it: a qform, and an sform whose axes lean."""
    plain = path.with_suffix("")
    SimpleITK.WriteImage(SimpleITK.ReadImage(str(path)), str(plain))
    content = bytearray(plain.read_bytes())
    rows = np.frombuffer(content, "<f4", 12, 280).reshape(3, 4).copy()
    rows[0, 1] += 0.2 * np.linalg.norm(rows[:, 1])
    content[280:328] = rows.astype("<f4").tobytes()
    content[252:256] = np.array([1, 1], "<i2").tobytes()
    plain.write_bytes(content)
    path.write_bytes(gzip.compress(bytes(content)))
    plain.unlink()


IMAGE, LABEL = "patient057_frame01.nii.gz", "patient057_frame01_gt.nii.gz"
BROKEN: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "cut off": (lambda p: truncate(p / IMAGE), "errors", "truncated or damaged"),
    "empty file": (lambda p: truncate(p / IMAGE, 0), "errors", "truncated or damaged"),
    "no image": (lambda p: (p / IMAGE).write_bytes(b"hello" * 99), "errors", "damaged"),
    "label cut off": (lambda p: truncate(p / LABEL), "errors", "truncated or damaged"),
    "NaN": (lambda p: rewrite(p / IMAGE, value((1, 2, 3), np.nan)), "errors", "NaN or infinite"),
    "infinity": (lambda p: rewrite(p / IMAGE, value((0, 0, 0), np.inf)), "errors", "NaN or inf"),
    "constant": (lambda p: rewrite(p / IMAGE, np.zeros_like), "errors", "every voxel is 0"),
    "unknown label": (lambda p: rewrite(p / LABEL, value((2, 9, 9), 7)), "errors", "values 7 are"),
    "half a label": (
        lambda p: rewrite(p / LABEL, lambda a: a.astype(np.float32) * 0.5),
        "errors",
        "out of range",
    ),
    "another size": (
        lambda p: rewrite(p / LABEL, lambda a: a[:, :-1]),
        "errors",
        "the label's size",
    ),
    "another spacing": (
        lambda p: rewrite(p / LABEL, same, spacing=(1.0, 1.0, 5.0)),
        "errors",
        "the label's spacing",
    ),
    "two channels": (
        lambda p: [
            write_image(p / IMAGE, random_image(1, (2, 5, 20, 24))),
            write_image(p / LABEL, blocks()),
        ],
        "errors",
        "expected 1 channels, the image has 2",
    ),
    "two label maps": (
        lambda p: write_image(p / LABEL, channels(blocks())),
        "errors",
        "one label map",
    ),
    "one slice as 2D": (
        lambda p: SimpleITK.WriteImage(SimpleITK.GetImageFromArray(np.eye(9)), str(p / IMAGE)),
        "errors",
        "expected a 3D image, got 2 dimensions",
    ),
    "empty label": (lambda p: rewrite(p / LABEL, np.zeros_like), "warnings", "all background"),
    "moved label": (
        lambda p: rewrite(p / LABEL, same, origin=(50.0, 0.0, 0.0)),
        "warnings",
        "the label's origin is not that of its image",
    ),
    "turned label": (
        lambda p: rewrite(p / LABEL, same, direction=(-1, 0, 0, 0, -1, 0, 0, 0, 1)),
        "warnings",
        "the label's direction",
    ),
    "spacing in cm": (
        lambda p: [rewrite(p / n, same, spacing=(0.1, 0.1, 1.0)) for n in (IMAGE, LABEL)],
        "warnings",
        "is far from the median",
    ),
    "other orientation": (
        lambda p: [
            rewrite(p / n, same, direction=(-1, 0, 0, 0, -1, 0, 0, 0, 1)) for n in (IMAGE, LABEL)
        ],
        "warnings",
        "cases differ in orientation (LPS 5, RAS 1)",
    ),
    "sheared": (lambda p: sheared(p / IMAGE), "warnings", "not at right angles"),
    "frame copied": (
        lambda p: shutil.copy(p / IMAGE, p / "patient057_frame99.nii.gz"),
        "warnings",
        "are the same image",
    ),
}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three patients of ACDC, one of whom tests in the published split."""
    folder = tmp_path_factory.mktemp("acdc")
    real = Path(__file__).parents[3] / "shared" / "data" / "acdc" / "training"
    if not real.is_dir():
        pytest.skip("the real data sets are not beside this checkout (../shared/data)")
    for number in (1, 3, 57):
        shutil.copytree(real / f"patient{number:03d}", folder / f"patient{number:03d}")
    return folder


def digest(folder: Path) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def look(folder: Path) -> Report:
    return examine(open_dataset(folder), workers=1)


@pytest.mark.parametrize("name", BROKEN)
def test_each_kind_of_broken_copy_is_found(small: Path, tmp_path: Path, name: str) -> None:
    spoil, severity, message = BROKEN[name]
    folder = tmp_path / "acdc"
    folder.mkdir()
    for patient in small.iterdir():
        (folder / patient.name).symlink_to(patient)
    (folder / "patient057").unlink()
    shutil.copytree(small / "patient057", folder / "patient057")
    spoil(folder / "patient057")
    if name == "frame copied":
        shutil.copy(
            folder / "patient057" / LABEL, folder / "patient057" / "patient057_frame99_gt.nii.gz"
        )
    before = digest(folder)
    report = look(folder)
    found = [str(problem) for problem in getattr(report, severity)]
    assert any(message in each for each in found), found
    assert bool(report.errors) is (severity == "errors")
    assert digest(folder) == before


def test_a_sound_copy_has_nothing(small: Path) -> None:
    report = look(small)
    assert report.errors == report.warnings == []
    assert report.cases_of_class == {"RV": 6, "MYO": 6, "LV": 6}


def test_patients_and_images_on_both_sides_of_a_split(tmp_path: Path) -> None:
    folder = write_acdc(tmp_path, patients=4)
    for end in ("", "_gt"):
        source = folder / "patient001" / f"patient001_frame01{end}.nii.gz"
        shutil.copy(source, folder / "patient003" / f"patient003_frame08{end}.nii.gz")
    split = {"train": ["patient001", "patient002"], "test": ["patient003", "patient004"]}
    (folder / "split.json").write_text(json.dumps(split))
    (problem,) = look(folder).errors
    assert "patient001_frame01, patient003_frame08 are the same image, in train and test" in str(
        problem
    )
    split["test"].append("patient002")
    (folder / "split.json").write_text(json.dumps(split))
    assert any("in both train and test: patient002" in str(each) for each in look(folder).errors)
