"""What the slot promises: identity at first, slices mixed where it is said and only in place."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from spsam.model.adapters.vanilla import VanillaAdapter

from ..components import Sizes, build, components, inputs, run, sizes

every_adapter = pytest.mark.parametrize(("slot", "component"), components("adapter"))


@every_adapter
@given(s=sizes())
@settings(max_examples=15)
@torch.no_grad()
def test_a_fresh_adapter_is_the_identity(slot: str, component: type, s: Sizes) -> None:
    (x,) = inputs(slot, s)
    assert torch.equal(build(slot, component, s)(x), x)


@every_adapter
@given(depth=st.integers(1, 5), data=st.data())
@settings(max_examples=15)
@torch.no_grad()
def test_slices_meet_where_it_is_said_and_only_there(
    slot: str, component: type, depth: int, data: st.DataObject
) -> None:
    s = Sizes(depth=depth, batch=1, positions=4)
    t, n = data.draw(st.integers(0, depth - 1)), data.draw(st.integers(0, 3))
    adapter = build(slot, component, s, noise=0.5).double()
    x = inputs(slot, s)[0].double()
    changed = x.clone()
    changed[0, t, n] += 1.0
    moved = (run(slot, adapter, [changed])[0] - run(slot, adapter, [x])[0]).abs().amax(dim=-1)[0]
    expected = torch.zeros(depth, 4, dtype=torch.bool)
    if component.mixes_depth:  # type: ignore[attr-defined]
        expected[:, n] = True
    expected[t, n] = True
    assert torch.equal(moved > 1e-9, expected)


@every_adapter
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
