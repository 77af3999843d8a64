"""What holds for every component of every slot; a new card is tested without being asked for."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings

from spsam.model.adapters.base import ProjectionAdapter

from .components import Sizes, build, components, inputs, run, sizes

every_component = pytest.mark.parametrize(("slot", "component"), components())


def shapes(slot: str, s: Sizes) -> list[tuple[int, ...]]:
    """What the slot's contract says of all outputs, the first of a generator's only."""
    slices, (gh, gw) = s.batch * s.depth, s.grid
    logits = (s.batch, s.num_classes, s.depth, *s.image_size)
    per_class = (s.batch, s.depth, s.num_classes)
    return {
        "input_adapter": [(slices, 3, *s.encoder_size)],
        "depth_pos_embed": [(slices, gh, gw, s.dim), (s.depth, s.decoder_dim, gh, gw)],
        "adapter": [(s.batch, s.depth, s.tokens, s.dim)],
        "prompt_generator": [logits],
        "prompt": [(*per_class, 2), (*per_class, 4), (*per_class, 1, *s.mask_size)],
        "mask_head": [logits],
    }[slot]


@every_component
@given(s=sizes())
@settings(max_examples=15)
@torch.no_grad()
def test_shapes(slot: str, component: type, s: Sizes) -> None:
    module = build(slot, component, s)
    outputs, expected = run(slot, module, inputs(slot, s)), shapes(slot, s)
    if isinstance(module, ProjectionAdapter):
        expected = [(*expected[0][:-1], site.outputs) for site in module.sites]
    for output, shape in zip(outputs, expected, strict=False):
        if slot == "depth_pos_embed" and output.shape[0] == 1:
            shape = (1, *shape[1:])
        assert tuple(output.shape) == shape
        assert torch.isfinite(output).all()
    assert len(outputs) >= len(expected)


@every_component
def test_gradients_reach_every_parameter(slot: str, component: type) -> None:
    module = build(slot, component, Sizes(), noise=0.3).train()
    outputs = run(slot, module, inputs(slot, Sizes()))
    if not list(module.parameters()):
        return
    torch.stack([(output * torch.randn_like(output)).sum() for output in outputs]).sum().backward()
    silent = [k for k, p in module.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


@every_component
@torch.no_grad()
def test_state_goes_round(slot: str, component: type) -> None:
    one = build(slot, component, Sizes(), seed=1, noise=0.3).eval()
    other = build(slot, component, Sizes(), seed=2, noise=0.3).eval()
    other.load_state_dict(one.state_dict(), strict=True)
    arguments = inputs(slot, Sizes())
    for a, b in zip(run(slot, one, arguments), run(slot, other, arguments), strict=True):
        assert torch.equal(a, b)


@every_component
def test_bf16_autocast_trains(slot: str, component: type) -> None:
    module = build(slot, component, Sizes(), noise=0.1).train()
    arguments = inputs(slot, Sizes())
    expected = run(slot, module, arguments)
    with torch.autocast("cpu", torch.bfloat16):
        got = run(slot, module, arguments)
    for a, b in zip(expected, got, strict=True):
        assert (a.float() - b.float()).norm() <= 0.05 * a.float().norm() + 1e-3
    if list(module.parameters()):
        torch.stack([output.float().square().mean() for output in got]).sum().backward()
        assert all(torch.isfinite(p.grad).all() for p in module.parameters() if p.grad is not None)


@every_component
@torch.no_grad()
def test_volumes_of_a_batch_do_not_see_each_other(slot: str, component: type) -> None:
    one, two = Sizes(batch=1), Sizes(batch=2)
    module = build(slot, component, two, noise=0.3).eval()
    first, second = inputs(slot, one, seed=1), inputs(slot, one, seed=2)
    both = [_joined(a, b) for a, b in zip(first, second, strict=True)]
    if slot == "depth_pos_embed":
        both[1] = first[1]
    for whole, part in zip(run(slot, module, both), run(slot, module, first), strict=True):
        torch.testing.assert_close(whole[: len(part)], part, rtol=1e-4, atol=1e-5)


def _joined(a: object, b: object) -> object:
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        return torch.cat([a, b])
    if isinstance(a, list) and isinstance(b, list):
        return [torch.cat([x, y]) for x, y in zip(a, b, strict=True)]
    return a
