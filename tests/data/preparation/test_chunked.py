from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spsam.data.preparation.chunked import Chunked, pack
from spsam.data.preparation.store import PreparedStore, is_sound
from spsam.data.sampling.patches import cut_out
from spsam.errors import SpsamError
from tests.data.stores import write_store


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


KEYS: list[Any] = [
    ...,
    5,
    -1,
    slice(None, None, -1),
    (slice(2, 5), slice(0, 3)),
    (..., slice(64, 70)),
    (slice(0, 0),),
    (1, ..., 2),
    (np.int64(3), slice(70, 75), -5),
    np.array([1, 2]),
]


@pytest.mark.parametrize("constant", [False, True])
def test_no_damaged_byte_gives_other_voxels(tmp_path: Path, constant: bool) -> None:
    rng = np.random.default_rng(0)
    array = rng.integers(0, 2**16, (10, 70, 80)).astype(np.float32)
    array[:4] = 3 if constant else array[:4]
    whole = np.frombuffer(pack(array), np.uint8)
    path = tmp_path / "a.b2nd"
    # Everything but the chunks, and a sample of these.
    places = [*range(0, 300, 7), *range(len(whole) - 300, len(whole), 7)]
    places += rng.integers(0, len(whole), 60).tolist()
    silent = 0
    for place in places:
        content = whole.copy()
        content[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(content.tobytes())
        with pytest.raises(SpsamError, match=r"a\.b2nd: the prepared data are damaged: remove"):
            Chunked(path)[...]
        for key in KEYS[1:5]:
            try:
                silent += not np.array_equal(Chunked(path)[key], array[key])
            except SpsamError:
                continue
    assert silent == 0


def test_a_file_that_is_cut_off_empty_or_missing_is_damaged(tmp_path: Path) -> None:
    content = pack(np.zeros((4, 5, 6), np.uint8))
    path = tmp_path / "a.b2nd"
    for length in (0, 5, 40, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(SpsamError, match="damaged"):
            _ = Chunked(path).shape
    path.unlink()
    with pytest.raises(SpsamError, match="damaged"):
        _ = Chunked(path).shape


def test_only_what_is_read_is_verified_and_only_once(tmp_path: Path) -> None:
    array = np.random.default_rng(0).random((8, 128, 128), np.float32)
    content = bytearray(pack(array))
    content[2000] ^= 1  # in the first of 2 × 2 × 2 chunks
    path = tmp_path / "a.b2nd"
    path.write_bytes(content)
    held = Chunked(path)
    np.testing.assert_array_equal(held[4:], array[4:])
    np.testing.assert_array_equal(held[:, 64:], array[:, 64:])
    with pytest.raises(SpsamError, match="damaged"):
        held[3:5]
    for key in KEYS:
        sound = tmp_path / "sound.b2nd"
        sound.write_bytes(pack(array))
        one = Chunked(sound)
        if not isinstance(key, np.ndarray):
            np.testing.assert_array_equal(one[key], array[key])
        touched = np.zeros(array.shape, bool)
        touched[key] = True
        wanted = touched.reshape(2, 4, 2, 64, 2, 64).any(axis=(1, 3, 5))
        if isinstance(key, np.ndarray):
            wanted[:] = True
        found = np.zeros(wanted.shape, bool)
        found[one._touched(key)] = True
        np.testing.assert_array_equal(found, wanted, str(key))


def test_arrays_of_two_cases_that_changed_places_are_damaged(tmp_path: Path) -> None:
    label = np.ones((4, 5, 6), np.uint8)
    arrays = {name: (np.full((1, *label.shape), k), label) for k, name in enumerate("ab")}
    write_store(tmp_path, arrays)
    for part in ("image.b2nd", "json"):
        kept = (tmp_path / f"b.{part}").read_bytes()
        (tmp_path / f"b.{part}").write_bytes((tmp_path / f"a.{part}").read_bytes())
        store = PreparedStore(tmp_path)
        with pytest.raises(SpsamError, match=r"b\.image\.b2nd: the prepared data are damaged"):
            store.case("b").image[...]
        assert is_sound(tmp_path, "a")
        assert not is_sound(tmp_path, "b")
        (tmp_path / f"b.{part}").write_bytes(kept)
    assert is_sound(tmp_path, "b")
    # Sound, but of another kind.
    for name, other in (("store.json", "a.json"), ("a.json", "store.json")):
        kept = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes((tmp_path / other).read_bytes())
        with pytest.raises(SpsamError, match="the prepared data are damaged"):
            PreparedStore(tmp_path).case("a")
        (tmp_path / name).write_bytes(kept)
