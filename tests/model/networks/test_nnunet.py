from __future__ import annotations

import pytest
import torch

from spsam.errors import InputError
from spsam.model.networks.nnunet import NnUNet
from spsam.model.networks.nnunet_plan import plan_nnunet

# Patch, spacing, strides by the rules of nnU-Net's planner, worked out by hand.
EXPECTED = {
    "brain tumour": ((128, 128, 128), (1.0, 1.0, 1.0), [(2, 2, 2)] * 5),
    "hippocampus": ((40, 56, 40), (1.0, 1.0, 1.0), [(2, 2, 2)] * 3),
    "prostate": (
        (20, 320, 256),
        (3.6, 0.62, 0.62),
        [(1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2), (1, 2, 2), (1, 2, 2)],
    ),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_strides_follow_nnunets_rules(name: str) -> None:
    size, spacing, strides = EXPECTED[name]
    plan = plan_nnunet(size, spacing)
    assert list(plan.strides[1:]) == strides
    assert plan.strides[0] == (1, 1, 1)
    assert plan.features == (32, 64, 128, 256, 320, 320, 320)[: len(strides) + 1]


def test_thick_slices_are_convolved_once_the_plane_is_as_coarse() -> None:
    plan = plan_nnunet((20, 320, 256), (3.6, 0.62, 0.62))
    assert list(plan.kernels) == [(1, 3, 3)] * 2 + [(3, 3, 3)] * 5


def test_planar_plans_have_more_features() -> None:
    plan = plan_nnunet((512, 512), (0.8, 0.8))
    assert plan.features == (32, 64, 128, 256, 512, 512, 512, 512)
    assert plan.multiple == (128, 128)


@pytest.mark.parametrize(("size", "stages"), [((7, 7, 7), 0), ((8, 7, 7), 0), ((12, 7, 7), 2)])
def test_a_single_axis_is_halved_only_while_it_is_long(
    size: tuple[int, int, int], stages: int
) -> None:
    if not stages:
        with pytest.raises(InputError, match="requires a patch with one side of at least 12"):
            plan_nnunet(size, (1.0, 1.0, 1.0))
    else:
        assert len(plan_nnunet(size, (1.0, 1.0, 1.0)).strides) == stages


def test_every_resolution_but_the_deepest_gives_logits_in_training() -> None:
    network = NnUNet(1, 3, 4, (32, 32), (5.0, 1.0, 1.0))
    output = network.train()(torch.randn(1, 1, 4, 32, 32))
    assert len(output.deeper) == len(network.plan.strides) - 2
    assert [tuple(x.shape[3:]) for x in output.deeper] == [(16, 16), (8, 8)]


def test_slices_stay_apart_in_the_planar_one() -> None:
    network = NnUNet(1, 2, 3, (32, 32), (1.0, 1.0, 1.0), dimensions=2).eval()
    volume = torch.randn(1, 1, 3, 32, 32)
    changed = volume.clone()
    changed[:, :, 2] += 1
    with torch.no_grad():
        before, after = network(volume).logits, network(changed).logits
    assert before is not None
    assert after is not None
    assert torch.equal(before[:, :, :2], after[:, :, :2])
    assert not torch.equal(before[:, :, 2], after[:, :, 2])
