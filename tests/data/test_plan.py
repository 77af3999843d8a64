from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spsam.data.cases import Case, DataSet
from spsam.data.dataset import open_dataset
from spsam.data.plan import Plan, plan
from spsam.data.split import split_cases
from spsam.data.volume import Geometry, Volume
from spsam.errors import InputError
from tests.data.layouts import blocks, truncate, write_acdc, write_image

BOUNDS = {"max_depth": 32, "max_size": 256, "anisotropy": 3.0}


def never() -> Volume:
    raise AssertionError("a plan reads headers only")


def dataset(
    *geometries: tuple[tuple[int, int, int], tuple[float, float, float]],
    modality: Literal["MR", "CT"] = "MR",
) -> DataSet:
    cases = tuple(
        Case(f"c{index}", f"c{index}", never, partial(Geometry, shape, spacing))
        for index, (shape, spacing) in enumerate(geometries)
    )
    return DataSet("some", cases, ("background", "a"), (0, 1), ("x",), modality, "f" * 16)


def planned(data: DataSet, **options: object) -> Plan:
    return plan(data, [case.id for case in data.cases], **{**BOUNDS, **options})  # type: ignore[arg-type]


def test_thick_slices_are_the_depth_and_stay() -> None:
    data = dataset(
        ((10, 200, 180), (10, 1.5, 1.5)), ((8, 256, 256), (10, 1.0, 1.0)), ((9, 90, 90), (5, 2, 2))
    )
    made = planned(data)
    assert made.anisotropic
    assert made.depth_axis == 0
    assert made.spacing == (10, 1.5, 1.5)
    assert made.patch_size == (9, 176, 176)
    # In the plane the extent is kept: 256 mm at 1.5 mm.
    assert made.target_shape(data.cases[1].geometry()) == (8, 171, 171)


def test_the_depth_axis_follows_the_coarsest_spacing() -> None:
    data = dataset(((160, 12, 150), (1.0, 6.0, 1.5)))
    made = planned(data)
    assert made.depth_axis == 1
    assert made.turn(data.cases[0].geometry()).axes == (1, 0, 2)
    assert made.spacing == (6.0, 1.0, 1.5)
    assert made.target_shape(data.cases[0].geometry()) == (12, 160, 150)
    assert made.patch_size == (12, 160, 160)


@pytest.mark.parametrize(
    ("thickness", "threshold", "kept"),
    [(3.0, 3.0, False), (3.1, 3.0, True), (2.5, 3.0, False), (2.5, 2.0, True), (1.5, 1.0, True)],
)
def test_from_which_ratio_on_slices_stay_is_a_value(
    thickness: float, threshold: float, kept: bool
) -> None:
    """nnU-Net's threshold, the default, is 3, and what is as thick is not above it."""
    data = dataset(((20, 90, 90), (thickness, 1.0, 1.0)), ((30, 90, 90), (thickness, 1.0, 1.0)))
    made = planned(data, anisotropy=threshold)
    assert made.anisotropic == kept
    assert threshold != 3 or planned(data) == made


def test_two_coarse_axes_are_not_thick_slices() -> None:
    made = planned(dataset(((30, 31, 90), (3.0, 3.0, 1.0))))
    assert not made.anisotropic
    assert made.depth_axis == 0


def test_isotropic_volumes_are_resampled_on_every_axis() -> None:
    data = dataset(((40, 50, 60), (1.0, 1.0, 1.0)), ((20, 50, 60), (1.9, 1.0, 1.0)))
    made = planned(data)
    assert not made.anisotropic
    assert made.spacing == (1.45, 1.0, 1.0)
    assert made.target_shape(data.cases[0].geometry()) == (28, 50, 60)
    assert made.target_shape(data.cases[1].geometry()) == (26, 50, 60)


@given(
    shape=st.tuples(st.integers(1, 300), st.integers(3, 700), st.integers(3, 700)),
    spacing=st.tuples(*[st.floats(0.3, 12)] * 3),
    max_depth=st.integers(1, 64),
    max_size=st.integers(16, 600),
)
def test_patches_keep_to_their_bounds(
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float],
    max_depth: int,
    max_size: int,
) -> None:
    made = planned(dataset((shape, spacing)), max_depth=max_depth, max_size=max_size)
    depth, height, width = made.patch_size
    assert 1 <= depth <= min(max_depth, shape[made.depth_axis])
    assert height == width
    assert height % 16 == 0
    assert 16 <= height <= max_size
    target = made.target_shape(Geometry(shape, spacing))
    assert height >= min(max(target[1:]), 16 * (max_size // 16))
    assert height < max(target[1:]) + 16


def test_what_the_user_says_about_the_patch_holds() -> None:
    data = dataset(((10, 200, 180), (10, 1.5, 1.5)))
    assert planned(data, depth=40).patch_size == (40, 208, 208)
    assert planned(data, size=512).patch_size == (10, 512, 512)
    assert planned(data, size=(64, 96), depth=4).patch_size == (4, 64, 96)


def test_the_key_is_of_what_preparation_depends_on() -> None:
    data = dataset(((10, 200, 180), (10, 1.5, 1.5)))
    made = planned(data)
    assert planned(data, depth=3, size=64).key == made.key
    for change in ({"spacing": (10, 1.5, 1.4)}, {"depth_axis": 1}, {"anisotropic": False}):
        assert replace(made, **change).key != made.key  # type: ignore[arg-type]
    assert Plan(**made.to_dict()) == made


def test_ct_depends_on_its_training_cases_mr_does_not() -> None:
    shapes = [((10, 200, 180), (10, 1.5, 1.5))] * 3
    for modality, same in (("MR", True), ("CT", False)):
        data = dataset(*shapes, modality=modality)  # type: ignore[arg-type]
        first, second = plan(data, ["c0", "c1"], **BOUNDS), plan(data, ["c1", "c2"], **BOUNDS)
        assert (first.key == second.key) is same


def test_only_training_cases_count() -> None:
    data = dataset(((10, 200, 180), (10, 1.5, 1.5)), ((10, 20, 20), (10, 3.0, 3.0)))
    assert plan(data, ["c0"], **BOUNDS).spacing == (10, 1.5, 1.5)


def test_an_unreadable_header_brings_out_every_mistake_of_the_data_set(tmp_path: Path) -> None:
    data = open_dataset(write_acdc(tmp_path, patients=3))
    broken = [data.cases[0].files[0], data.cases[3].files[0], data.cases[5].files[1]]
    truncate(broken[0], 0.0)
    truncate(broken[1], 0.6)
    write_image(broken[2], blocks(values=(1, 9)))
    with pytest.raises(InputError) as caught:
        plan(data, [data.cases[0].id, data.cases[1].id], **BOUNDS)
    assert [problem.file for problem in caught.value.problems] == broken


def test_the_real_data_sets(shared_data: Path) -> None:
    acdc = open_dataset(shared_data / "acdc")
    made = plan(acdc, split_cases(acdc).train, **BOUNDS)
    assert made.anisotropic
    assert made.depth_axis == 0
    assert made.patch_size[1:] == (256, 256)
    made = planned(open_dataset(shared_data / "Task04_Hippocampus"))
    assert not made.anisotropic
    assert made.spacing == (1, 1, 1)
    assert made.patch_size == (32, 64, 64)
