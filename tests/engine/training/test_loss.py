"""The objective against written-out arithmetic and MONAI's Dice loss."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spsam.config.schema import DeepSupervisionConfig, TrainConfig
from spsam.engine.training.loss import (
    Activation,
    dice_of_sums,
    dice_sums,
    downsample_labels,
    loss_parts,
    supervision_weights,
    training_loss,
)
from spsam.model.networks.base import Output


def segmentation_loss(
    logits: torch.Tensor, labels: torch.Tensor, activation: Activation = "softmax", **loss: Any
) -> torch.Tensor:
    """The final masks' loss."""
    output = Output(logits, [torch.zeros_like(logits)], None)
    config = TrainConfig.model_validate({"loss": loss})
    return training_loss(output, labels, config, activation)["mask"]


@pytest.mark.parametrize("batch_dice", [False, True])
def test_softmax_loss_is_cross_entropy_plus_monai_dice(batch_dice: bool) -> None:
    from monai.losses import DiceLoss

    torch.manual_seed(0)
    logits = torch.randn(2, 4, 3, 8, 8)
    labels = torch.randint(0, 4, (2, 3, 8, 8))
    reference = DiceLoss(
        softmax=True,
        to_onehot_y=True,
        include_background=False,
        batch=batch_dice,
        smooth_nr=1e-5,
        smooth_dr=1e-5,
    )(logits, labels[:, None])
    expected = torch.nn.functional.cross_entropy(logits, labels) + reference
    loss = segmentation_loss(logits, labels, batch_dice=batch_dice)
    assert loss == pytest.approx(expected.item(), abs=1e-5)


def test_one_missed_voxel_beside_a_perfect_patch_costs_half_a_dice_of_its_own() -> None:
    """Over the batch, the many voxels of the perfect patch hide it."""
    labels = torch.zeros(2, 1, 4, 8, dtype=torch.long)
    labels[0, :, :2] = 1
    labels[1, 0, 3, 7] = 1
    wanted = labels.clone()
    wanted[1] = 0
    logits = torch.stack([(wanted == k).float() for k in range(2)], 1) * 200 - 100
    dice = {
        of: segmentation_loss(logits, labels, batch_dice=of, cross_entropy=0).item()
        for of in (True, False)
    }
    assert dice[True] == pytest.approx(1 - 32 / 33, abs=1e-4)
    assert dice[True] == pytest.approx(0.03, abs=0.005)
    assert dice[False] == pytest.approx(0.50, abs=0.005)


@given(patches=st.integers(1, 4), seed=st.integers(0, 99))
def test_dice_per_patch_is_the_mean_of_the_patches_losses(patches: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(patches, 3, 2, 3, 4, generator=generator)
    labels = torch.randint(0, 3, (patches, 2, 3, 4), generator=generator)
    for activation in ("softmax", "sigmoid"):
        alone = [
            segmentation_loss(logits[[i]], labels[[i]], activation, batch_dice=of)
            for i in range(patches)
            for of in (False, True)
        ]
        whole = segmentation_loss(logits, labels, activation, batch_dice=False)
        assert whole == pytest.approx(float(torch.stack(alone).mean()), abs=1e-5)


def test_sigmoid_loss_treats_every_class_by_itself() -> None:
    torch.manual_seed(0)
    logits = torch.randn(1, 3, 2, 4, 4)
    labels = torch.randint(0, 3, (1, 2, 4, 4))
    loss = segmentation_loss(logits, labels, activation="sigmoid")
    target = torch.stack([(labels == k).float() for k in range(3)], 1)
    probability = 1 / (1 + (-logits).exp())
    entropy = -(target * probability.log() + (1 - target) * (1 - probability).log()).mean()
    dice = [
        1
        - (2 * (probability[:, k] * target[:, k]).sum() + 1e-5)
        / (probability[:, k].sum() + target[:, k].sum() + 1e-5)
        for k in (1, 2)
    ]
    assert loss.item() == pytest.approx((entropy + sum(dice) / 2).item(), abs=1e-5)


def test_perfect_masks_cost_nothing_and_wrong_ones_do() -> None:
    labels = torch.zeros(1, 2, 6, 6, dtype=torch.long)
    labels[:, :, 2:4] = 1
    logits = torch.stack([(labels == k).float() for k in range(2)], 1) * 200 - 100
    assert segmentation_loss(logits, labels) < 1e-3
    assert segmentation_loss(-logits, labels) > 50


def test_background_is_left_out_of_dice_unless_asked_for() -> None:
    target = torch.zeros(1, 1, 4, 4, dtype=torch.long)
    probabilities = torch.stack([torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4)], 1)
    without = dice_of_sums(dice_sums(probabilities, target, background=False), 1e-5)
    with_it = dice_of_sums(dice_sums(probabilities, target, background=True), 1e-5)
    assert without == pytest.approx(0, abs=1e-6)
    assert with_it == pytest.approx(0.5, abs=1e-4)


@given(levels=st.integers(1, 7), decay=st.floats(0.1, 1), drop=st.booleans())
def test_supervision_weights_sum_to_one_and_fall(levels: int, decay: float, drop: bool) -> None:
    weights = supervision_weights(levels, DeepSupervisionConfig(decay=decay, drop_coarsest=drop))
    assert math.isclose(sum(weights), 1)
    assert weights == sorted(weights, reverse=True)
    assert (weights[-1] == 0) == (drop and levels > 1)


def test_labels_are_downsampled_at_pixel_centres_without_new_values() -> None:
    labels = torch.arange(64).reshape(1, 1, 8, 8)
    small = downsample_labels(labels, (1, 4, 4))
    assert small.shape == (1, 1, 4, 4)
    assert set(small.unique().tolist()) <= set(labels.unique().tolist())
    assert downsample_labels(labels, (1, 8, 8)) is labels


@given(levels=st.integers(1, 7), given=st.lists(st.floats(0.1, 5), min_size=1, max_size=4))
def test_weights_may_be_given_one_by_one(levels: int, given: list[float]) -> None:
    weights = supervision_weights(levels, DeepSupervisionConfig(weights=tuple(given)))
    assert math.isclose(sum(weights), 1)
    assert [weight > 0 for weight in weights] == [level < len(given) for level in range(levels)]
    assert weights[0] == pytest.approx(given[0] / sum(given[:levels]))


def test_terms_and_losses_are_weighted() -> None:
    torch.manual_seed(0)
    labels = torch.randint(0, 3, (2, 1, 8, 8))
    output = Output(torch.randn(2, 3, 1, 8, 8), [torch.randn(2, 3, 1, 8, 8)], None)

    def terms(**weights: float) -> dict[str, float]:
        config = TrainConfig.model_validate({"loss": weights})
        return {k: float(v) for k, v in training_loss(output, labels, config, "softmax").items()}

    whole = terms()
    entropy, dice = terms(dice=0), terms(cross_entropy=0)
    assert whole["mask"] == pytest.approx(entropy["mask"] + dice["mask"])
    assert whole["total"] == pytest.approx(whole["generator"] + whole["mask"])
    weighted = terms(generator=0.25, mask=3)
    expected = 0.25 * whole["generator"] + 3 * whole["mask"]
    assert weighted["total"] == pytest.approx(expected)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@pytest.mark.parametrize("background", [False, True])
def test_sums_and_gradients_are_those_of_one_hot_targets(
    activation: Activation, background: bool
) -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 4, 3, 5, 6, requires_grad=True)
    labels = torch.randint(0, 4, (2, 3, 5, 6))
    target = torch.nn.functional.one_hot(labels, 4).movedim(-1, 1).float()
    weight = torch.randn(2, 2, 4 if background else 3)
    if activation == "softmax":
        probabilities, expected = logits.softmax(1), -(logits.log_softmax(1) * target).sum(1).mean()
    else:
        probabilities = logits.sigmoid()
        expected = torch.nn.functional.binary_cross_entropy(probabilities, target)
    axes, first = (2, 3, 4), 0 if background else 1
    overlap = (probabilities * target).sum(axes)[:, first:]
    both = (probabilities + target).sum(axes)[:, first:]
    wanted = torch.autograd.grad(expected + (weight * torch.stack((overlap, both))).sum(), logits)
    entropy, sums = loss_parts(logits, labels, activation=activation, background=background)
    torch.testing.assert_close(sums, torch.stack((overlap, both)))
    torch.testing.assert_close(entropy, expected)
    got = torch.autograd.grad(entropy + (weight * sums).sum(), logits)
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("drop", [False, True])
def test_deep_supervision_of_final_logits_is_nnunets(drop: bool) -> None:
    """Weights 1, 1/2, 1/4 over their sum; the coarsest may have none."""
    torch.manual_seed(0)
    labels = torch.randint(0, 3, (2, 4, 8, 8))
    levels = [torch.randn(2, 3, *size) for size in ((4, 8, 8), (2, 4, 4), (1, 2, 2))]
    config = TrainConfig.model_validate({"deep_supervision": {"drop_coarsest": drop}})
    found = training_loss(Output(levels[0], deeper=levels[1:]), labels, config, "softmax")
    weights = torch.tensor([1.0, 0.5, 0.0 if drop else 0.25])
    alone = torch.stack(
        [
            training_loss(Output(x), downsample_labels(labels, x.shape[2:]), config, "softmax")[
                "total"
            ]
            for x in levels
        ]
    )
    torch.testing.assert_close(found["total"], (weights / weights.sum() * alone).sum())
    assert set(found) == {"mask", "total"}
