from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spsam.data.dataset import open_dataset
from spsam.data.plan import plan
from spsam.data.preparation import restore
from spsam.data.preparation.prepare import prepare
from spsam.data.preparation.restore import restore_labels, restored, write_labels
from spsam.data.preparation.store import PreparedCase
from spsam.data.volume import Geometry, read_geometry, read_volume
from tests.data.layouts import write_msd


def case_of(
    prepared: tuple[int, ...],
    original: tuple[int, int, int],
    axes: tuple[int, int, int] = (0, 1, 2),
    raw_ids: tuple[int, ...] = (0, 1, 2, 3),
) -> PreparedCase:
    return PreparedCase(
        id="a",
        patient="a",
        image=np.zeros((1, *prepared), np.float32),
        label=np.zeros(prepared, np.uint8),
        foreground={},
        spacing=(1.0, 1.0, 1.0),
        original=Geometry(
            original, (3.0, 0.7, 1.2), (1.0, 2.0, 3.0), (-1, 0, 0, 0, 1, 0, 0, 0, -1)
        ),
        axes=axes,
        raw_ids=raw_ids,
    )


def one_hot(label: np.ndarray, classes: int) -> np.ndarray:
    return np.stack([label == value for value in range(classes)]).astype(np.float32)


def largest(logits: torch.Tensor) -> torch.Tensor:
    assert logits.ndim == 5
    return logits.argmax(1)


def restored_whole(logits: np.ndarray | torch.Tensor, case: PreparedCase) -> torch.Tensor:
    return torch.cat(list(restored(logits, case)), dim=1)


SHAPES = st.tuples(st.integers(1, 20), st.integers(1, 9), st.integers(1, 9))


@given(shape=SHAPES, axes=st.permutations([0, 1, 2]), seed=st.integers(0, 9))
def test_the_same_grid_comes_back_exactly(
    shape: tuple[int, int, int], axes: list[int], seed: int
) -> None:
    label = np.random.default_rng(seed).integers(0, 4, shape).astype(np.uint8)
    turned = np.transpose(label, axes)
    case = case_of(turned.shape, shape, (axes[0], axes[1], axes[2]))
    logits = one_hot(turned, 4)
    np.testing.assert_array_equal(restored_whole(logits, case).numpy(), logits)
    np.testing.assert_array_equal(restore_labels(torch.from_numpy(logits), case, largest), label)


@given(prepared=SHAPES, original=SHAPES, seed=st.integers(0, 9))
def test_interpolation_is_torchs_trilinear(
    prepared: tuple[int, int, int], original: tuple[int, int, int], seed: int
) -> None:
    """It is done slice by slice; the result is that of one piece."""
    logits = torch.randn((3, *prepared), generator=torch.Generator().manual_seed(seed))
    expected = torch.nn.functional.interpolate(
        logits[None], original, mode="trilinear", align_corners=False
    )[0]
    result = restored_whole(logits, case_of(prepared, original)).numpy()
    np.testing.assert_allclose(result, expected.numpy(), atol=1e-5)
    labels = restore_labels(logits, case_of(prepared, original), largest)
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, result.argmax(0))


@pytest.mark.parametrize("prepared", [(9, 6, 5), (40, 7, 5), (17, 12, 15)])
def test_fewer_slices_at_once_are_the_same(
    prepared: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large volume is restored in smaller pieces; neither logits nor labels depend on them."""
    logits = torch.randn((3, *prepared), generator=torch.Generator().manual_seed(0))
    case = case_of(prepared, (17, 8, 9))
    whole, labels = restored_whole(logits, case), restore_labels(logits, case, largest)
    firsts: list[int] = []
    for count in (1, 3, 5):
        slices = max(8 * 9, -(-prepared[0] // 17) * prepared[1] * prepared[2])
        monkeypatch.setattr(restore, "_LOGITS", count * 3 * slices)
        assert max(each.shape[1] for each in restored(logits, case)) == count
        assert torch.equal(restored_whole(logits, case), whole)
        firsts.clear()
        again = restore_labels(logits, case, largest, lambda first, *_: firsts.append(first))
        np.testing.assert_array_equal(again, labels)
        assert firsts == list(range(0, 17, count))


def test_labels_are_named_after_interpolation() -> None:
    logits = np.array([[3.0, -1.0], [0.0, 0.5]], np.float32).reshape(2, 1, 1, 2)
    case = case_of((1, 1, 2), (1, 1, 4))
    # Linear in the logits: the third pixel is 0 and 0.375. Nearest would say class 1 from there.
    assert restore_labels(logits, case, largest).ravel().tolist() == [0, 0, 1, 1]
    strong = logits * np.array([3, 1], np.float32).reshape(2, 1, 1, 1)
    strong[0, 0, 0, 1] = -1
    assert restore_labels(strong, case, largest).ravel().tolist() == [0, 0, 0, 1]


def test_a_head_that_needs_thresholds_can_be_used() -> None:
    def positive(logits: torch.Tensor) -> torch.Tensor:
        best = logits[:, 1:].max(1)
        return torch.where(best.values > 0, best.indices + 1, 0)

    logits = -np.ones((3, 2, 4, 4), np.float32)
    logits[2, 1] = 2
    result = restore_labels(logits, case_of((2, 4, 4), (2, 4, 4)), positive)
    assert result[0].max() == 0
    assert (result[1] == 2).all()


def test_reduced_precision_logits_are_taken() -> None:
    logits = torch.randn(2, 3, 4, 4).to(torch.bfloat16)
    assert restored_whole(logits, case_of((3, 4, 4), (3, 9, 7))).dtype == torch.float32


def test_files_carry_the_ids_and_the_grid_of_the_data_set(tmp_path: Path) -> None:
    case = case_of((3, 4, 5), (3, 4, 5), raw_ids=(0, 6, 11))
    labels = np.random.default_rng(0).integers(0, 3, (3, 4, 5))
    path = tmp_path / "predictions" / "a.nii.gz"
    write_labels(path, labels, case)
    geometry = read_geometry(path)
    assert geometry.shape == case.original.shape
    assert geometry.spacing == pytest.approx(case.original.spacing, rel=1e-7)
    assert geometry.origin == case.original.origin
    assert geometry.direction == case.original.direction
    volume = read_volume(path, path, {0: 0, 6: 1, 11: 2})
    np.testing.assert_array_equal(volume.label, labels)
    assert set(np.unique(volume.image)) == {0, 6, 11}
    wide = case_of((3, 4, 5), (3, 4, 5), raw_ids=(0, 6, 1100))
    write_labels(path, labels, wide)
    assert read_volume(path, None, {}).image.max() == 1100


def test_more_classes_than_a_byte_holds(tmp_path: Path) -> None:
    raw_ids = (0, *(1000 * k + 312782546 for k in range(300)))
    case = case_of((2, 4, 5), (3, 8, 5), raw_ids=raw_ids)
    label = np.zeros((2, 4, 5), np.int64)
    label[:, :, 1:] = [255, 256, 257, 300]
    labels = restore_labels(50 * one_hot(label, 301), case, largest)
    assert labels[0, 0].tolist() == [0, 255, 256, 257, 300]
    path = tmp_path / "a.nii.gz"
    write_labels(path, labels, case)
    class_of = {raw_id: k for k, raw_id in enumerate(raw_ids)}
    np.testing.assert_array_equal(read_volume(path, path, class_of).label, labels)


def test_real_cases_survive_the_round_trip(shared_data: Path, tmp_path: Path) -> None:
    dataset = open_dataset(shared_data / "acdc")
    # The finest and a coarse in-plane grid, a thin myocardium, a small ventricle.
    chosen = [
        "patient057_frame01",
        "patient085_frame01",
        "patient049_frame11",
        "patient001_frame01",
    ]
    made = plan(
        dataset, [case.id for case in dataset.cases], max_depth=8, max_size=256, anisotropy=3.0
    )
    part = type(dataset)(**{**vars(dataset), "cases": tuple(dataset.case(each) for each in chosen)})
    store = prepare(part, made, tmp_path, workers=1)
    for name in chosen:
        reference = dataset.case(name).load().label
        assert reference is not None
        case = store.case(name)
        labels = restore_labels(one_hot(np.asarray(case.label), 4), case, largest)
        scores = [
            2
            * ((labels == k) & (reference == k)).sum()
            / ((labels == k).sum() + (reference == k).sum())
            for k in (1, 2, 3)
        ]
        assert np.mean(scores) > 0.97
        assert min(scores) > 0.95
        path = tmp_path / f"{name}.nii.gz"
        write_labels(path, labels, case)
        image, label = dataset.case(name).files
        assert read_geometry(path) == read_geometry(image) == read_geometry(label)


def test_a_prepared_case_keeps_the_forms_of_its_scan(tmp_path: Path) -> None:
    """Registration leaves an sform beside the qform: viewers may take either."""
    data = write_msd(tmp_path / "organs")
    file = data / "imagesTr" / "organ_002.nii.gz"
    scan = nibabel.load(file)
    scan.header["sform_code"], scan.header["srow_x"] = 4, [1.5, 0, 0, 20]
    nibabel.save(nibabel.Nifti1Image(np.asarray(scan.dataobj), None, scan.header), file)
    dataset = open_dataset(data)
    made_plan = plan(
        dataset, [each.id for each in dataset.cases], max_depth=8, max_size=64, anisotropy=3.0
    )
    store = prepare(dataset, made_plan, tmp_path / "out", workers=1)
    case = store.case("organ_002")
    made = tmp_path / "made.nii.gz"
    write_labels(made, np.zeros(case.original.shape, np.uint8), case)
    written, source = nibabel.load(made), nibabel.load(file)
    assert int(written.header["sform_code"]) == 4
    np.testing.assert_array_equal(written.get_sform(), source.get_sform())
    np.testing.assert_array_equal(written.get_qform(), source.get_qform())
    assert not np.allclose(written.get_sform(), written.get_qform())
