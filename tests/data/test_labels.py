from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spsam.data.files.image import read_array
from spsam.data.labels import (
    MAX_ID,
    ROUNDING,
    class_indices,
    id_problems,
    narrow_ids,
    narrow_indices,
    whole_ids,
)
from spsam.errors import InputError
from tests.data.layouts import blocks, write_image

FILE = Path("label.nii")
TYPES = [np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64, np.float64]


@given(
    ids=st.sets(st.integers(1, MAX_ID), min_size=1, max_size=400),
    kind=st.sampled_from(TYPES),
    seed=st.integers(0, 9),
)
def test_ids_become_class_indices_and_ids_again(ids: set[int], kind: type, seed: int) -> None:
    top = np.iinfo(kind).max if np.issubdtype(kind, np.integer) else MAX_ID
    raw = (0, *sorted(each for each in ids if each <= top))
    classes = np.random.default_rng(seed).integers(0, len(raw), (3, 4, 50))
    array = np.array(raw, kind)[classes]
    found = class_indices(array[None], FILE, {raw_id: k for k, raw_id in enumerate(raw)})
    np.testing.assert_array_equal(found, classes)
    np.testing.assert_array_equal(narrow_ids(raw)[narrow_indices(classes)], array.astype(np.int64))


@pytest.mark.parametrize("slope", [1 / 3, 0.1, 1 / 7])
def test_what_a_scale_factor_leaves_is_rounded(tmp_path: Path, slope: float) -> None:
    """Headers hold it in single precision, so that 3 × (1/3) is 1 only nearly."""
    step = round(1 / slope)
    path = write_image(tmp_path / "scaled.nii", blocks(values=(step, 2 * step)))
    content = bytearray(path.read_bytes())
    content[112:120] = struct.pack("<2f", slope, 0)
    path.write_bytes(content)
    array, _ = read_array(path)
    assert array.dtype.kind == "f"
    np.testing.assert_array_equal(
        class_indices(array, path, {0: 0, 1: 1, 2: 2})[1:-1], blocks(values=(1, 2))[1:-1]
    )
    assert set(whole_ids(array, path).values()) == {0, 1, 2}


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.float16])
def test_other_fractions_are_shown_with_their_digits(kind: type) -> None:
    array = np.array([0, 1, 1 - 4 * ROUNDING, 2.5], kind).reshape(1, 1, 1, 4)
    shown = np.format_float_positional(array[0, 0, 0, 2], trim="-")
    with pytest.raises(InputError, match=f"label values {shown}, 2.5 are out of range; expected"):
        class_indices(array, FILE, {0: 0, 1: 1, 2: 2})
    with pytest.raises(InputError, match=f"whole numbers from 0, got {shown}, 2.5: this is not"):
        whole_ids(array, FILE)


def test_long_lists_of_ids_are_cut() -> None:
    array = np.arange(100, 130).reshape(1, 1, 1, 30)
    with pytest.raises(InputError) as caught:
        class_indices(array, FILE, {k: k for k in range(50)})
    message = str(caught.value)
    assert "100, 101, 102, 103, 104, 105, 106, 107 and 22 more are out of range" in message
    assert message.endswith("17, 18, 19 and 30 more")


def test_numbers_that_hold_no_ids_are_refused() -> None:
    rounded = np.array([0, 312782546], np.float32).reshape(1, 1, 1, 2)
    with pytest.raises(InputError, match=r"up to 312782560 as float32, .* only up to 16777216"):
        class_indices(rounded, FILE, {0: 0, 312782560: 1})
    exact = np.array([0, 312782546], np.float64).reshape(1, 1, 1, 2)
    assert class_indices(exact, FILE, {0: 0, 312782546: 1}).ravel().tolist() == [0, 1]
    with pytest.raises(InputError, match="complex"):
        class_indices(np.ones((1, 1, 1, 1), np.complex64), FILE, {0: 0, 1: 1})
    with pytest.raises(InputError, match="no voxels"):
        class_indices(np.ones((1, 0, 1, 1), np.uint8), FILE, {0: 0, 1: 1})
    with pytest.raises(InputError, match="label values nan are out of range"):
        class_indices(np.full((1, 1, 1, 1), np.nan), FILE, {0: 0})


def test_what_no_file_holds_is_named() -> None:
    names, ids = ("background", "low", "high", "last"), (0, -1, MAX_ID + 1, MAX_ID)
    low, high = map(str, id_problems(names, ids, None))
    assert "the id of 'low' is -1" in low
    assert "the id of 'high' is 4294967296" in high


def test_class_indices_are_as_narrow_as_they_can_be() -> None:
    assert narrow_indices(np.array([0, 255])).dtype == np.uint8
    assert narrow_indices(np.array([0, 256])).dtype == np.int16
    assert narrow_indices(np.zeros(0, np.int64)).dtype == np.uint8
    assert [narrow_ids((0, top)).dtype.itemsize for top in (255, 256, 65536)] == [1, 2, 4]
