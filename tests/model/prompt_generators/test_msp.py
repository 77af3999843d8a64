from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spsam.errors import InputError
from spsam.model.prompt_generators.msp import MSPGenerator, assign_taps, doublings

from ..components import count

side = st.integers(1, 200)


def generator(
    grid: tuple[int, int] = (2, 2), image: tuple[int, int] = (8, 8), taps: int = 4, **kw: Any
) -> MSPGenerator:
    return MSPGenerator((5,) * taps, 8, grid, 3, image, **kw)


def maps(
    grid: tuple[int, int] = (2, 2), taps: int = 4, depth: int = 2, batch: int = 1
) -> list[torch.Tensor]:
    shapes = [*[(batch, 5, depth, *grid)] * taps, (batch, 8, depth, *grid)]
    return [torch.randn(shape, requires_grad=True) for shape in shapes]


@given(grid=st.tuples(side, side), image=st.tuples(side, side))
def test_doublings_are_the_fewest_that_reach(grid: tuple[int, int], image: tuple[int, int]) -> None:
    n = doublings(grid, image)
    assert all(g * 2**n >= i for g, i in zip(grid, image, strict=True))
    assert n == 0 or any(g * 2 ** (n - 1) < i for g, i in zip(grid, image, strict=True))


@pytest.mark.parametrize(
    ("steps", "levels"),
    [
        (0, [(3, 2, 1, 0)]),
        (1, [(), (3, 2, 1, 0)]),
        (2, [(), (3,), (2, 1, 0)]),
        (4, [(), (3,), (2,), (1,), (0,)]),
        (6, [(), (3,), (2,), (1,), (0,), (), ()]),
    ],
)
def test_a_tap_joins_at_every_level_and_the_last_takes_the_rest(
    steps: int, levels: list[tuple[int, ...]]
) -> None:
    assert assign_taps(4, steps) == levels


@given(taps=st.integers(0, 6), steps=st.integers(0, 6))
def test_every_tap_joins_once_the_deepest_first(taps: int, steps: int) -> None:
    levels = assign_taps(taps, steps)
    assert len(levels) == steps + 1
    assert [tap for level in levels for tap in level] == list(range(taps))[::-1]


@given(
    grid=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    image=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    depth=st.integers(1, 3),
    taps=st.integers(0, 5),
)
@settings(max_examples=20)
def test_outputs_are_finest_first_and_train(
    grid: tuple[int, int], image: tuple[int, int], depth: int, taps: int
) -> None:
    inputs = maps(grid, taps, depth)
    outputs = generator(grid, image, taps).train()(inputs)
    assert outputs[0].shape == (1, 3, depth, *image)
    sizes = [tuple(o.shape[3:]) for o in outputs]
    assert len(sizes) == doublings(grid, image) + 1
    assert len(sizes) == 1 or sizes[-1] == grid
    for fine, coarse in pairwise(sizes[1:]):
        assert fine == (2 * coarse[0], 2 * coarse[1])
    torch.stack([o.square().mean() for o in outputs]).sum().backward()


def test_paper_widths() -> None:
    module = MSPGenerator((768,) * 4, 256, (16, 16), 4, (256, 256))
    assert [head.in_channels for head in module.heads] == [256, 128, 128, 64, 64]


def formula(
    grid: int, image: int, taps: int, *, widths: tuple[int, ...], kernel: int, convs: int
) -> int:
    """Level by level: own skips, the doubling, the convolutions, the head."""
    steps = doublings((grid, grid), (image, image))
    total, below = 0, 8
    for level, joining in enumerate(assign_taps(taps, steps)):
        w = widths[min(level, len(widths) - 1)]
        norms_on_the_way = max(level - 1, 0)
        total += len(joining) * (5 * w + 2 * w + level * 4 * w * w + norms_on_the_way * 2 * w)
        total += 4 * below * w if level else 0
        joined = (w if level else below) + len(joining) * w
        total += joined * w * kernel + 2 * w + (convs - 1) * (w * w * kernel + 2 * w)
        total += 3 * w + 3
        below = w
    return total


@pytest.mark.parametrize(("grid", "image"), [(2, 2), (2, 8), (2, 32), (1, 64)])
@pytest.mark.parametrize("taps", [0, 1, 4])
@pytest.mark.parametrize("convs", [1, 2])
def test_parameters(grid: int, image: int, taps: int, convs: int) -> None:
    module = generator((grid, grid), (image, image), taps, convs=convs)
    assert count(module) == formula(
        grid, image, taps, widths=(8, 4, 4, 2, 2), kernel=27, convs=convs
    )
    other = generator((grid, grid), (image, image), taps, widths=(6, 3), kernel=(1, 3, 3))
    assert count(other) == formula(grid, image, taps, widths=(6, 3), kernel=9, convs=1)


@pytest.mark.parametrize("image", [(2, 2), (8, 8), (32, 32)])
def test_skip_projections_share_no_weights(image: tuple[int, int]) -> None:
    """One tap's own layers silenced: that tap alone stops counting."""
    for silenced in range(4):
        module = generator(image=image)
        inputs = maps()
        order = [tap for level in module.taps_of_level for tap in level]
        skips = [skip for level in module.skips for skip in level]  # type: ignore[attr-defined]
        assert len({id(p) for skip in skips for p in skip.parameters()}) == sum(
            len(list(skip.parameters())) for skip in skips
        )
        with torch.no_grad():
            for parameter in skips[order.index(silenced)].parameters():
                parameter.zero_()
        module(inputs)[0].square().sum().backward()
        counts = [bool(tap.grad is not None and tap.grad.any()) for tap in inputs[:4]]
        assert counts == [tap != silenced for tap in range(4)]


def test_slices_meet() -> None:
    module, inputs = generator(), maps(depth=3)
    module(inputs)[0][:, :, 0].square().sum().backward()
    assert all(bool(x.grad is not None and x.grad[:, :, 1].any()) for x in inputs)


def test_a_kernel_in_the_plane_is_a_value() -> None:
    kernels = {
        tuple(m.kernel_size)
        for m in generator(kernel=(1, 3, 3)).stages.modules()
        if isinstance(m, torch.nn.Conv3d)
    }
    assert kernels == {(1, 3, 3)}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"widths": ()}, "widths"),
        ({"widths": (4, 0)}, "widths"),
        ({"kernel": (2, 3, 3)}, "odd"),
        ({"convs": 0}, "convs"),
    ],
)
def test_wrong_values(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        generator(**wrong)


@pytest.mark.parametrize(("finest", "sides"), [(1, [8, 4, 2]), (2, [8, 2]), (4, [8]), (64, [8])])
def test_a_coarser_last_level_ends_sooner(finest: int, sides: list[int]) -> None:
    module = generator(finest=finest)
    outputs = module(maps())
    assert [o.shape[3] for o in outputs] == sides
    assert [tap for level in module.taps_of_level for tap in level] == [3, 2, 1, 0]
    assert outputs[0].shape[3:] == (8, 8)


@pytest.mark.parametrize("image", [(2, 2), (8, 8), (32, 32)])
def test_added_taps_count_as_concatenated_ones_do(image: tuple[int, int]) -> None:
    module, inputs = generator(image=image, joining="sum"), maps()
    module(inputs)[0].square().sum().backward()
    assert all(bool(x.grad is not None and x.grad.any()) for x in inputs)
    assert count(module) < count(generator(image=image))


@pytest.mark.parametrize("wrong", [{"finest": 3}, {"finest": 0}, {"joining": "add"}])
def test_wrong_last_levels_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"finest must be a power of two|unknown joining"):
        generator(**wrong)


@pytest.mark.parametrize("joining", ["concat", "sum"])
@pytest.mark.parametrize("image", [(2, 2), (16, 16)])
def test_composed_or_layer_by_layer(
    joining: str, image: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spsam.model.prompt_generators.msp.composing_pays", lambda *_: True)
    module = generator(image=image, convs=2, joining=joining).double()
    inputs = [each.double() for each in maps()]
    composed = module(inputs)
    module.composed = False
    torch.testing.assert_close(module(inputs), composed)


def test_all_wrong_values_are_said_at_once() -> None:
    with pytest.raises(InputError) as caught:
        generator(widths=(0,), kernel=(2, 3, 3), convs=0, finest=3, joining="add")
    assert len(caught.value.problems) == 5
