"""Measures and panels survive their files."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from spsam.errors import SpsamError
from spsam.results.arrays import read_arrays, write_arrays
from spsam.results.measures import BINS, Measures, read_measures, write_measures
from spsam.results.panels import Panel, read_panels, write_panels


def equal(first: object, second: object) -> bool:
    pairs = zip(vars(first).values(), vars(second).values(), strict=True)
    return all(np.array_equal(one, other) for one, other in pairs)


def test_measures(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    measures = Measures(
        cases=("a", "b_é"),
        case=np.array([0, 0, 1], np.int32),
        slice=np.array([0, 1, 0], np.int32),
        counts=rng.integers(0, 1 << 30, (3, 4, 3)),
        voxels=rng.integers(0, 1 << 40, (2, BINS)),
        confidence=rng.random((2, BINS)),
        correct=rng.integers(0, 1 << 40, (2, BINS)),
        activation="softmax",
    )
    write_measures(tmp_path / "run" / "measures.npz", measures)
    assert equal(read_measures(tmp_path / "run" / "measures.npz"), measures)
    assert [file.name for file in (tmp_path / "run").iterdir()] == ["measures.npz"]


def test_panels(tmp_path: Path) -> None:
    image = np.arange(12, dtype=np.uint8).reshape(3, 4)
    bare = Panel("one", 3, 1.5, image, image // 4, image // 5)
    full = dataclasses.replace(
        bare, case="two", mask=image // 3, points=np.ones((2, 4)), boxes=np.zeros((0, 5))
    )
    write_panels(tmp_path / "panels.npz", [bare, full])
    found = read_panels(tmp_path / "panels.npz")
    assert [equal(*pair) for pair in zip(found, [bare, full], strict=True)] == [True, True]
    write_panels(tmp_path / "panels.npz", [])
    assert read_panels(tmp_path / "panels.npz") == []


def test_damaged_files_are_said(tmp_path: Path) -> None:
    path = tmp_path / "some.npz"
    for read in (read_measures, read_panels):
        with pytest.raises(SpsamError, match=r"some.npz: cannot be read"):
            read(path)
    write_arrays(path, {"cases": np.zeros(0)})
    for read in (read_measures, read_panels):
        with pytest.raises(SpsamError, match=r"some.npz: is damaged"):
            read(path)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(SpsamError, match=r"some.npz: cannot be read"):
        read_measures(path)


def test_no_damaged_byte_is_read_or_a_traceback(tmp_path: Path) -> None:
    path, rng = tmp_path / "some.npz", np.random.default_rng(0)
    wanted = {"a": np.arange(300), "b": np.array("text"), "c": rng.random((4, 5))}
    write_arrays(path, wanted)
    whole = path.read_bytes()
    for _ in range(300):
        damaged = bytearray(whole)
        damaged[int(rng.integers(len(whole)))] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            found = read_arrays(path)
        except SpsamError:
            continue
        # Another name or date of a member, or what nobody reads.
        assert all(np.array_equal(found.get(name, wanted[name]), wanted[name]) for name in wanted)
