from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spsam.data.chunked import Chunked, pack
from spsam.data.patches import cut_out


@given(
    shape=st.tuples(st.integers(1, 9), st.integers(1, 150), st.integers(1, 150)),
    channels=st.integers(0, 2),
    data=st.data(),
)
def test_what_is_cut_from_a_file_is_what_is_cut_from_the_array(
    tmp_path_factory: pytest.TempPathFactory,
    shape: tuple[int, int, int],
    channels: int,
    data: st.DataObject,
) -> None:
    lead = (channels,) if channels else ()
    array = np.random.default_rng(0).standard_normal((*lead, *shape)).astype(np.float32)
    path = tmp_path_factory.mktemp("chunked") / "a.b2nd"
    path.write_bytes(pack(array))
    held = Chunked(path)
    assert (held.shape, held.dtype, held.ndim, held.size) == (
        array.shape,
        array.dtype,
        array.ndim,
        array.size,
    )
    start = np.array([data.draw(st.integers(-20, length)) for length in shape])
    found = cut_out(cast(Any, held), start, (3, 30, 30))
    np.testing.assert_array_equal(found, cut_out(array, start, (3, 30, 30)))
    np.testing.assert_array_equal(np.asarray(held), array)


def test_it_stands_for_its_array_and_travels_as_its_path(tmp_path: Path) -> None:
    array = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)
    (tmp_path / "a.b2nd").write_bytes(pack(array))
    held = Chunked(tmp_path / "a.b2nd")
    np.testing.assert_array_equal(held == 7, array == 7)
    np.testing.assert_array_equal(held + 1, array + 1)
    np.testing.assert_array_equal(np.array(held, np.float32), array.astype(np.float32))
    assert len(held) == 3
    copy = pickle.loads(pickle.dumps(held))
    np.testing.assert_array_equal(copy[1:, ..., 2], array[1:, ..., 2])


def test_labels_take_little_room() -> None:
    label = np.zeros((10, 256, 256), np.uint8)
    label[3:7, 80:160, 80:160] = 1
    assert len(pack(label)) < label.size / 50
