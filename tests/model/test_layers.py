from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from spsam.model.layers import (
    InstanceNorm,
    conv_block,
    doubling,
    resize_in_plane,
)


def test_instance_norm_is_torchs_where_torch_has_one() -> None:
    x, norm = torch.randn(2, 3, 2, 4, 4), InstanceNorm(3)
    torch.testing.assert_close(norm(x), nn.InstanceNorm3d(3, affine=True)(x))


@pytest.mark.parametrize("training", [True, False])
def test_instance_norm_lets_a_single_element_through(training: bool) -> None:
    norm = InstanceNorm(2).train(training)
    nn.init.constant_(norm.weight, 3.0)
    x = torch.tensor([1.0, -2.0]).view(1, 2, 1, 1, 1)
    assert norm(x).flatten().tolist() == [3.0, -6.0]


def test_a_bias_before_the_norm_would_be_dead() -> None:
    assert conv_block(2, 3, (3, 3, 3))[0].bias is None


def test_doubling_leaves_slices_alone() -> None:
    layer, x = doubling(2, 3), torch.randn(1, 2, 3, 4, 5)
    assert layer(x).shape == (1, 3, 3, 8, 10)
    changed = x.clone()
    changed[:, :, 1] += 1
    difference = (layer(changed) - layer(x)).abs().amax(dim=(0, 1, 3, 4))
    assert (difference > 0).tolist() == [False, True, False]


@pytest.mark.parametrize("size", [(9, 4), (3, 2), (5, 4)])
def test_resize_is_bilinear_slice_by_slice(size: tuple[int, int]) -> None:
    x = torch.randn(2, 3, 4, 5, 4)
    got = resize_in_plane(x, size)
    for d in range(4):
        wanted = functional.interpolate(x[:, :, d], size=size, mode="bilinear")
        torch.testing.assert_close(got[:, :, d], wanted)


def test_resize_to_the_same_size_is_nothing() -> None:
    x = torch.randn(1, 1, 1, 3, 4)
    assert resize_in_plane(x, (3, 4)) is x
