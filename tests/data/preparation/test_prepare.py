from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spsam.data.check import check
from spsam.data.dataset import DataSet, open_dataset
from spsam.data.plan import Plan, plan
from spsam.data.preparation.prepare import MAX_VOXELS, prepare, prepared_key
from spsam.data.preparation.store import PreparedStore
from spsam.errors import InputError, SpsamError
from tests.data.layouts import (
    SHAPE,
    blocks,
    random_image,
    truncate,
    write_acdc,
    write_image,
    write_msd,
)


def planned(dataset: DataSet) -> Plan:
    ids = [case.id for case in dataset.cases]
    return plan(dataset, ids, max_depth=8, max_size=64, anisotropy=3.0)


@pytest.fixture
def acdc(tmp_path: Path) -> DataSet:
    return open_dataset(write_acdc(tmp_path / "data", patients=2))


def test_what_is_prepared(acdc: DataSet, tmp_path: Path) -> None:
    store = prepare(acdc, planned(acdc), tmp_path / "out", workers=1)
    assert store.ids == tuple(case.id for case in acdc.cases)
    assert store.num_classes == 4
    case = store.case("patient001_frame01")
    assert case.image.shape == (1, *SHAPE)
    assert case.image.dtype == np.float32
    assert abs(float(np.mean(case.image[...]))) < 1e-4
    assert abs(float(np.std(case.image[...])) - 1) < 1e-4
    np.testing.assert_array_equal(case.label, blocks())
    assert case.label.dtype == np.uint8
    assert case.original == acdc.case(case.id).geometry()
    assert case.patient == "patient001"
    assert case.axes == (0, 1, 2)
    assert case.spacing == pytest.approx((8.0, 1.5, 1.5))
    assert sorted(case.foreground) == [1, 2, 3]
    for value, voxels in case.foreground.items():
        assert (case.label[tuple(voxels.T)] == value).all()
        assert len(np.unique(voxels, axis=0)) == (blocks() == value).sum()
    with pytest.raises(KeyError):
        store.case("patient009_frame01")


def test_depth_comes_first_and_the_plane_gets_the_planned_spacing(tmp_path: Path) -> None:
    folder = write_msd(tmp_path / "data", 2)
    array = random_image(3, (30, 6, 40))
    label = np.zeros((30, 6, 40), np.uint8)
    label[10:20, 2:4, 5:25] = 1
    for number in range(2):
        name = f"organ_{number:03d}.nii.gz"
        write_image(folder / "imagesTr" / name, array, spacing=(1.0, 5.0, 1.0))
        write_image(folder / "labelsTr" / name, label, spacing=(1.0, 5.0, 1.0))
    dataset = open_dataset(folder)
    half = replace(planned(dataset), spacing=(5.0, 2.0, 0.5))
    case = prepare(dataset, half, tmp_path / "out", workers=1).case("organ_000")
    assert case.axes == (1, 0, 2)
    assert case.label.shape == (6, 15, 80)
    expected = np.zeros((6, 15, 80), np.uint8)
    expected[2:4, 5:10, 10:50] = 1
    np.testing.assert_array_equal(case.label, expected)


def test_nothing_is_done_twice(acdc: DataSet, tmp_path: Path) -> None:
    made = planned(acdc)
    first = prepare(acdc, made, tmp_path / "out", workers=1)
    calls: list[tuple[int, int]] = []
    os.utime(first.folder / "store.json", (1, 1))
    again = prepare(
        acdc,
        replace(made, patch_size=(1, 16, 16)),
        tmp_path / "out",
        progress=lambda *c: calls.append(c),
    )
    assert again.folder == first.folder
    assert calls == []
    assert (first.folder / "store.json").stat().st_mtime == 1
    other = replace(made, spacing=(8.0, 3.0, 3.0))
    assert prepare(acdc, other, tmp_path / "out", workers=1).folder != first.folder
    assert prepared_key(replace(acdc, fingerprint="0" * 16), made) != prepared_key(acdc, made)


def test_an_interrupted_preparation_goes_on(
    acdc: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(acdc, planned(acdc), tmp_path / "out", workers=1, progress=stop)
    (partial,) = (tmp_path / "out").glob("*.partial")
    assert not list((tmp_path / "out").glob("*/store.json"))
    done = sorted(partial.glob("*.json"))
    assert len(done) == 2
    for file in done:
        os.utime(file, (1, 1))
    store = prepare(acdc, planned(acdc), tmp_path / "out", workers=1)
    assert not partial.exists()
    ages = [(store.folder / file.name).stat().st_mtime for file in done]
    assert ages == [1, 1]
    assert len(store.ids) == 4


def test_every_mistake_of_every_case_comes_at_once_and_nothing_is_left(tmp_path: Path) -> None:
    folder = write_acdc(tmp_path / "data", patients=6)
    files = {case.id: case.files for case in open_dataset(folder).cases}
    truncate(files["patient001_frame01"][0])
    write_image(files["patient002_frame01"][1], blocks((5, 20, 25)))
    write_image(files["patient003_frame08"][1], blocks(values=(1, 2, 7)))
    array = random_image(0)
    array[0, 0, 0] = np.nan
    write_image(files["patient004_frame01"][0], array)
    write_image(files["patient005_frame01"][0], np.zeros(SHAPE, np.int16))
    write_image(files["patient006_frame08"][0], random_image(0, (2, *SHAPE)))
    dataset = open_dataset(folder)
    # Headers of truncated files are whole: the plan can be made.
    made = planned(dataset)
    for workers in (1, 2):
        with pytest.raises(InputError) as caught:
            prepare(dataset, made, tmp_path / "out", workers=workers)
        problems = caught.value.problems
        assert len(problems) == 6
        text = str(caught.value)
        for name in ("patient001_frame01.nii.gz", "patient002_frame01_gt", "patient003_frame08_gt",
                     "patient004_frame01.nii.gz", "patient005_frame01.nii.gz"):  # fmt: skip
            assert name in text
        assert "expected 1 channels, the image has 2" in text
        assert not (tmp_path / "out").exists()
    assert check(dataset, workers=1) == list(problems)


def test_a_failure_while_writing_leaves_no_store(
    acdc: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(OSError, match="no space"):
        prepare(acdc, planned(acdc), tmp_path / "out", workers=1)
    monkeypatch.undo()
    assert not list((tmp_path / "out").glob("*/*.json"))
    assert len(prepare(acdc, planned(acdc), tmp_path / "out", workers=1).ids) == 4


def test_processes_give_the_same_as_one(acdc: DataSet, tmp_path: Path) -> None:
    made = planned(acdc)
    calls: list[tuple[int, int]] = []
    one = prepare(acdc, made, tmp_path / "one", workers=1)
    two = prepare(
        acdc, made, tmp_path / "two", workers=2, progress=lambda *call: calls.append(call)
    )
    assert calls == [(done, 4) for done in range(5)]
    for case in acdc.cases:
        np.testing.assert_array_equal(one.case(case.id).image, two.case(case.id).image)
        for value, voxels in one.case(case.id).foreground.items():
            np.testing.assert_array_equal(voxels, two.case(case.id).foreground[value])


def test_the_voxel_lists_are_bounded(tmp_path: Path) -> None:
    label = np.zeros((8, 60, 60), np.uint8)
    label[:, 10:50, 10:50] = 1
    label[0, 0, :7] = 2
    folder = write_msd(tmp_path / "data", 1)
    write_image(folder / "imagesTr" / "organ_000.nii.gz", random_image(0, label.shape))
    write_image(folder / "labelsTr" / "organ_000.nii.gz", label)
    dataset = open_dataset(folder)
    case = prepare(dataset, planned(dataset), tmp_path / "out", workers=1).case("organ_000")
    assert len(case.foreground[1]) == MAX_VOXELS < (label == 1).sum()
    assert len(case.foreground[2]) == 7
    assert (case.label[tuple(case.foreground[1].T)] == 1).all()
    # The sample is spread over the whole object.
    assert len(np.unique(case.foreground[1][:, 0])) == 8


def test_ct_is_clipped_and_scored_by_the_training_foreground(tmp_path: Path) -> None:
    folder = write_msd(tmp_path / "data", 3, modality={"0": "CT"})
    for number in range(3):
        image = random_image(number) + 1000 * number
        image[0] = -1e6
        write_image(folder / "imagesTr" / f"organ_{number:03d}.nii.gz", image)
    dataset = open_dataset(folder)
    made = plan(dataset, ["organ_000", "organ_001"], max_depth=8, max_size=64, anisotropy=3.0)
    store = prepare(dataset, made, tmp_path / "out", workers=1)
    mask = blocks(values=(1, 2)) > 0
    values = np.concatenate([(random_image(number) + 1000 * number)[mask] for number in (0, 1)])
    low, high = np.percentile(values, [0.5, 99.5])
    for number in range(3):
        image = random_image(number) + 1000 * number
        image[0] = -1e6
        # As in nnU-Net: of all values, also of those that are clipped.
        expected = (image.clip(low, high) - values.mean()) / values.std()
        actual = store.case(f"organ_{number:03d}").image[0]
        np.testing.assert_allclose(actual, expected, atol=1e-4)
    truncate(folder / "imagesTr" / "organ_001.nii.gz")
    truncate(folder / "imagesTr" / "organ_002.nii.gz")
    with pytest.raises(InputError) as caught:
        prepare(open_dataset(folder), made, tmp_path / "out", workers=1)
    assert len(caught.value.problems) == 2


def test_a_store_travels_to_other_processes(acdc: DataSet, tmp_path: Path) -> None:
    store = prepare(acdc, planned(acdc), tmp_path / "out", workers=1)
    copy = pickle.loads(pickle.dumps(store))
    np.testing.assert_array_equal(
        copy.case("patient001_frame01").image, store.case("patient001_frame01").image
    )
    assert isinstance(PreparedStore(store.folder).index, dict)
    assert json.loads((store.folder / "store.json").read_text())["fingerprint"] == acdc.fingerprint


def test_workers_do_not_import_torch() -> None:
    code = (
        "import sys, spsam.data.preparation.prepare, spsam.data.dataset;"
        "print('torch' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "False"


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def test_no_damaged_bit_is_trained_on(acdc: DataSet, tmp_path: Path) -> None:
    folder = prepare(acdc, planned(acdc), tmp_path / "out", workers=1).folder
    sound = {name: PreparedStore(folder).case(name) for name in PreparedStore(folder).ids}
    rng = np.random.default_rng(0)
    noticed = 0
    for file in sorted(folder.iterdir()):
        whole = file.read_bytes()
        for _ in range(15):
            damaged = bytearray(whole)
            damaged[int(rng.integers(len(whole)))] ^= 1 << int(rng.integers(8))
            file.write_bytes(damaged)
            try:
                store = PreparedStore(folder)
                for name, case in sound.items():
                    again = store.case(name)
                    np.testing.assert_array_equal(again.image, case.image)
                    np.testing.assert_array_equal(again.label, case.label)
                    assert again.spacing == case.spacing
                    for value, voxels in case.foreground.items():
                        np.testing.assert_array_equal(again.foreground[value], voxels)
            except SpsamError as error:
                assert file.name in str(error)  # noqa: PT017 - either outcome is right
                noticed += 1
        file.write_bytes(whole)
    # White space of JSON may change.
    assert noticed > 0.9 * 15 * len(content(folder))


def test_what_is_damaged_or_missing_is_prepared_once_more_and_the_rest_is_kept(
    acdc: DataSet, tmp_path: Path
) -> None:
    folder = prepare(acdc, planned(acdc), tmp_path / "out", workers=1).folder
    wanted = content(folder)
    for file in folder.iterdir():
        os.utime(file, (1, 1))
    spoilt = bytearray(wanted["patient001_frame01.image.b2nd"])
    spoilt[1000] ^= 4
    (folder / "patient001_frame01.image.b2nd").write_bytes(spoilt)
    (folder / "patient002_frame01.foreground.npy").unlink()
    (folder / "store.json").unlink()
    assert prepare(acdc, planned(acdc), tmp_path / "out", workers=1).folder == folder
    assert content(folder) == wanted
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        folder.name, f"{folder.name}.lock"
    ]  # fmt: skip
    kept = {file.name.split(".")[0] for file in folder.iterdir() if file.stat().st_mtime == 1}
    assert kept == {"patient001_frame08", "patient002_frame08"}
