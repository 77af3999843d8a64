"""Nothing on the way from a GPU's logits to SAM's tokens reads a value back."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from spsam.model.prompts.extract import RULES
from spsam.model.prompts.types import Prompts
from spsam.model.sam.mask_decoder import PromptedMaskDecoder
from tests.model.sam.reference import MINI

K = 3
WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "item", "unique", "is_nonzero")


class NoWaiting(TorchDispatchMode):
    """Fails on what needs a value, or a shape that depends on one."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        assert not any(name.startswith(waiting) for waiting in WAITING), name
        if name in ("index", "index_put_"):
            masks = [i for i in args[1] if i is not None and i.dtype in (torch.bool, torch.uint8)]
            assert not masks, name
        return func(*args, **(kwargs or {}))


def test_the_mode_notices() -> None:
    values = torch.arange(3)
    for wait in (lambda: values.max().item(), lambda: values[values > 1], lambda: bool(values[0])):
        with pytest.raises(AssertionError), NoWaiting():
            wait()


@pytest.mark.parametrize("rule", sorted(set(RULES) - {"random"}))
def test_label_maps_to_points(rule: str) -> None:
    labels = torch.randint(0, K, (2, 9, 7))
    with NoWaiting():
        prompts = RULES[rule](K)._on_device(labels)
    assert prompts is not None


@pytest.mark.parametrize("rule", sorted(set(RULES) - {"random"}))
@pytest.mark.parametrize("mask", ["binary", "logits", "log_odds"])
def test_logits_to_tokens_on_a_device_that_holds_no_values(rule: str, mask: str) -> None:
    """On `meta` there is nothing to read: copying to the host or asking for a value fails."""
    logits = torch.empty(2, K, 3, 40, 40, device="meta")
    prompts = RULES[rule](K, mask=mask)(logits, (64, 48), (32, 24))
    assert prompts.masks is not None
    assert tuple(prompts.masks.shape) == (2, 3, K, 1, 32, 24)
    decoder = PromptedMaskDecoder(MINI, (64, 48)).to("meta")
    assert prompts.points is not None
    assert tuple(prompts.points.shape) == (2, 3, K, 2)
    assert prompts.points.device.type == "meta"
    extra = 2 if rule == "farthest" else 0
    assert tuple(decoder._sparse(prompts).shape) == (2 * 3 * K, 3 + extra, MINI.out_dim)


@pytest.mark.parametrize(("rule", "more"), [("random", {}), ("edt", {"negatives": 1})])
def test_what_is_known_to_need_the_host(rule: str, more: dict[str, int]) -> None:
    assert RULES[rule](K, **more)._on_device(torch.zeros(1, 4, 4, dtype=torch.int64)) is None


def test_sams_tokens_of_several_points() -> None:
    decoder = PromptedMaskDecoder(MINI, (64, 48))
    prompts = Prompts(
        points=torch.rand(1, 2, K, 2),
        boxes=None,
        present=torch.ones(1, 2, K, dtype=torch.bool),
        extra_points=torch.rand(1, 2, K, 2, 2),
        extra_labels=torch.tensor([1, -1]).expand(1, 2, K, 2),
    )
    with NoWaiting():
        assert decoder._sparse(prompts).shape[1] == 4
