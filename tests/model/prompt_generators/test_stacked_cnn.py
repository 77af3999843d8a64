from __future__ import annotations

import pytest
import torch

from spsam.errors import InputError
from spsam.model.prompt_generators.stacked_cnn import StackedCNN

from ..components import count


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("width", [None, 7])
@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_parameters(layers: int, width: int | None, kernel: int) -> None:
    c, k, area = 6, 3, kernel**2
    w = width or c
    wanted = c * w * area + 2 * w + (layers - 1) * (w * w * area + 2 * w) + w * k + k
    module = StackedCNN((), c, (2, 2), k, (8, 8), layers=layers, width=width, kernel=kernel)
    assert count(module) == wanted


@torch.no_grad()
def test_no_slice_sees_another() -> None:
    module = StackedCNN((), 4, (3, 3), 2, (12, 12))
    neck = torch.randn(2, 4, 3, 3, 3)
    changed = neck.clone()
    changed[0, :, 1] += torch.randn(4, 3, 3)
    (one,), (other,) = module([neck]), module([changed])
    moved = (one - other).abs().amax(dim=(1, 3, 4)) > 1e-6
    assert moved.tolist() == [[False, True, False], [False] * 3]


def test_only_the_neck_counts() -> None:
    module = StackedCNN((4,), 4, (3, 3), 2, (12, 12))
    tap, neck = torch.randn(1, 4, 1, 3, 3), torch.randn(1, 4, 1, 3, 3)
    assert torch.equal(module([tap, neck])[0], module([tap + 1, neck])[0])


@pytest.mark.parametrize("wrong", [{"layers": 0}, {"kernel": 2}, {"width": 0}])
def test_wrong_values(wrong: dict[str, int]) -> None:
    with pytest.raises(InputError, match="got layers"):
        StackedCNN((), 4, (3, 3), 2, (12, 12), **wrong)
