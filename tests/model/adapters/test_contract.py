"""What the slot promises: nothing changes at first, and tokens meet where it is declared."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from spsam.model.adapters.base import Adapter, ProjectionAdapter, Reach
from spsam.model.adapters.vanilla import VanillaAdapter

from ..components import Sizes, build, components, frozen, inputs, run, sizes

every_adapter = pytest.mark.parametrize(("slot", "component"), components("adapter"))
every_token_adapter = pytest.mark.parametrize(
    ("slot", "component"),
    [each for each in components("adapter") if issubclass(each.values[1], Adapter)],
)


@every_adapter
@given(s=sizes())
@settings(max_examples=15)
@torch.no_grad()
def test_a_fresh_adapter_changes_nothing(slot: str, component: type, s: Sizes) -> None:
    (x,) = inputs(slot, s)
    adapter = build(slot, component, s)
    if isinstance(adapter, ProjectionAdapter):
        expected = [frozen(site, x) for site in adapter.sites]
    else:
        expected = [x]
    for got, plain in zip(run(slot, adapter, [x]), expected, strict=True):
        assert torch.equal(got, plain)


@every_adapter
@given(depth=st.integers(1, 5), grid=st.sampled_from([(1, 1), (1, 4), (4, 3)]), data=st.data())
@settings(max_examples=15)
@torch.no_grad()
def test_tokens_meet_as_far_as_is_declared(
    slot: str, component: type, depth: int, grid: tuple[int, int], data: st.DataObject
) -> None:
    s = Sizes(depth=depth, batch=1, grid=grid, positions=2)
    here = (
        data.draw(st.integers(0, depth - 1)),
        data.draw(st.integers(0, 1)),
        data.draw(st.integers(0, grid[0] - 1)),
        data.draw(st.integers(0, grid[1] - 1)),
    )
    adapter = build(slot, component, s, noise=0.5).double()
    reach = getattr(adapter, "reach", Reach())
    x = inputs(slot, s)[0].double()
    before = run(slot, adapter, [x])
    moved = torch.zeros(depth, 2, *grid, dtype=torch.bool)
    # Several changes: one alone may leave a unit that is zero below a threshold.
    for _ in range(8):
        changed = x.clone().unflatten(2, (2, *grid))
        changed[0][here] += 3 * torch.randn(s.dim, dtype=torch.double)
        after = run(slot, adapter, [changed.flatten(2, 4)])
        for a, b in zip(after, before, strict=True):
            moved |= ((a - b)[0].abs().amax(dim=-1) > 1e-9).reshape(moved.shape)
    expected = torch.zeros_like(moved)
    for place in torch.ones_like(moved).nonzero().tolist():
        slices, same = abs(place[0] - here[0]), place[1] == here[1]
        across = max(abs(place[2] - here[2]), abs(place[3] - here[3]))
        near = reach.slices is None or slices <= reach.slices
        expected[tuple(place)] = same and near and across <= reach.plane
    assert torch.equal(moved, expected)


@every_token_adapter
@given(s=sizes())
@settings(max_examples=10)
@torch.no_grad()
def test_the_change_is_what_the_adapter_adds(slot: str, component: type, s: Sizes) -> None:
    adapter = build(slot, component, s, noise=0.5).double()
    x = inputs(slot, s)[0].double()
    torch.testing.assert_close(adapter.change(x), adapter(x) - x)


def test_an_adapter_of_another_forward_does_not_inherit_the_change() -> None:
    class Twice(VanillaAdapter):
        def forward(self, x: Tensor) -> Tensor:
            return x + 2 * super().change(x)

    adapter = Twice(8, 1, init="default")
    x = torch.randn(1, 1, 3, 8)
    torch.testing.assert_close(adapter.change(x), adapter(x) - x)
